"""Fixtures of the command line's tests."""

from tests.parsed_once import parsed_once as parsed_once
