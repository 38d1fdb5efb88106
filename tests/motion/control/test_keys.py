"""Files of keys: curves, expressions, blinks, and lines that are not understood."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from thcli.core.errors import MediaError
from thcli.motion.control.keys import BLINK, MAX_BYTES, read_keys


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_values_change_smoothly_between_keys_and_hold_after_the_last(tmp_path: Path) -> None:
    text = "\ufeff# a comment\n\n1 smile=0.5 # half\n3 smile=-1 yaw=20\n"
    keys = read_keys(write(tmp_path / "a.txt", text))
    found = keys.values(np.array([0.0, 0.5, 1.0, 2.0, 3.0, 9.0]))
    np.testing.assert_allclose(found["smile"], [0, 0.25, 0.5, -0.25, -1, -1])
    np.testing.assert_allclose(found["yaw"], [0, 40 / 27, 140 / 27, 400 / 27, 20, 20])
    assert keys.end == 3 and set(found) == {"smile", "yaw"}


def test_an_expression_replaces_the_one_before_and_leaves_sliders(tmp_path: Path) -> None:
    text = "0 happy=0.8 jaw=0.2\n1 sad\n2 sad\n3 neutral\n"
    found = read_keys(write(tmp_path / "a.txt", text)).values(np.array([0.0, 1.0, 2.0, 3.0]))
    np.testing.assert_allclose(found["squint"], [0.8 * 0.45, 0, 0, 0])
    np.testing.assert_allclose(found["inner-brows"], [0, 0.9, 0.9, 0])
    np.testing.assert_allclose(found["smile"], [0.8 * 0.7, -0.75, -0.75, 0])
    np.testing.assert_allclose(found["jaw"], [0.2, 0.2 - 0.2 * 7 / 27, 0.2 * 7 / 27, 0])


def test_an_expression_rises_from_the_one_before_it(tmp_path: Path) -> None:
    text = "1 happy\n2 surprised\n3 angry\n"
    found = read_keys(write(tmp_path / "a.txt", text)).values(np.array([1.0, 2.0]))
    np.testing.assert_allclose(found["jaw"], [0, 0.45])
    np.testing.assert_allclose(found["brows"], [0.1, 1])


def test_neutral_is_0_for_names_of_later_lines_too(tmp_path: Path) -> None:
    text = "0 jaw=1\n1 neutral\n2 smile=1\n"
    found = read_keys(write(tmp_path / "a.txt", text)).values(np.array([0.5, 1.0, 1.5, 2.0]))
    np.testing.assert_allclose(found["smile"], [0, 0, 0.5, 1])


def test_lines_of_one_time_are_as_one_line(tmp_path: Path) -> None:
    one = "1 neutral happy\n2 neutral jaw=1\n3 neutral sad\n4 neutral"
    two = "1 neutral\n1 happy\n2 neutral\n2 jaw=1\n3 neutral\n3 sad\n4 neutral"
    texts = [write(tmp_path / f"{number}.txt", text) for number, text in enumerate((one, two))]
    wanted, found = (read_keys(path).values(np.linspace(0, 5, 51)) for path in texts)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, atol=1e-12)


def test_two_expressions_of_one_line_mix(tmp_path: Path) -> None:
    found = read_keys(write(tmp_path / "a.txt", "0 happy=0.5 surprised=0.5\n")).values(np.zeros(1))
    assert found["brows"] == pytest.approx(0.5 * (0.1 + 1)) and found["jaw"] == 0.5 * 0.45


def test_wink_is_an_expression_and_with_a_value_the_slider(tmp_path: Path) -> None:
    text = "0 wink\n1 neutral wink=0\n2 happy wink=-0.5\n3 happy wink=0\n"
    found = read_keys(write(tmp_path / "a.txt", text)).values(np.arange(4.0))
    np.testing.assert_allclose(found["wink"], [1, 0, -0.5, 0], atol=1e-9)
    np.testing.assert_allclose(found["smile"], [0.35, 0, 0.7, 0.7], atol=1e-9)


def test_a_blink_closes_and_opens_by_itself(tmp_path: Path) -> None:
    keys = read_keys(write(tmp_path / "a.txt", "1 blink\n"))
    closing = keys.values(np.array([0.9, 1.1, 1.5]))[BLINK]
    np.testing.assert_allclose(closing, [0, 1, 0], atol=1e-9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 smile=1\nsoon smile=1\n", "Line 2 of .*: the time is 'soon', which is no number"),
        ("1 smile=1\n0.5 smile=0\n", "Line 2 .* 0.5 must be at or after 1"),
        ("-1 smile=1\n", "Line 1 .* at or after 0"),
        ("1e12 smile=1\n", "Line 1 .* beyond 1000000 seconds"),
        ("\n2\n", "Line 2 .* followed by no name"),
        ("0 grin=1\n", "Line 1 .* no 'grin'; there are brows, .*blink"),
        ("0 smile\n", "Line 1 .* smile needs a value, such as smile=1"),
        ("0 smile=2\n", "smile must be within -1..1, not 2"),
        ("0 smile=nan\n", "smile is 'nan', which is no number"),
        ("0 smile=1 smile=0\n", "smile is named twice"),
        ("0 happy=3\n", "strength of happy must be a number within 0..1.5"),
        ("0 blink=1\n", "blink has no value"),
        ("# nothing\n", "has no key"),
    ],
)
def test_a_line_that_is_not_understood_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MediaError, match=message) as caught:
        read_keys(write(tmp_path / "keys.txt", text))
    assert "SECONDS NAME=VALUE" in caught.value.hint and caught.value.exit_code == 3


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "large.txt").write_bytes(b"0 smile=1\n" + b" " * MAX_BYTES)
    for name in ("binary.txt", "absent.txt"):
        with pytest.raises(MediaError, match="cannot be read"):
            read_keys(tmp_path / name)
    with pytest.raises(MediaError, match="larger than 4 MiB"):
        read_keys(tmp_path / "large.txt")
