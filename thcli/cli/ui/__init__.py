"""`thcli ui`: the commands as a page in a browser.

`form` derives the fields from the commands, `page` draws them with Gradio, `command` serves them.
"""
