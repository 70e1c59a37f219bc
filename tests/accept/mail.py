"""Takes the HTML of each letter out of the snapshot of letters: `mail.py SNAPSHOT FOLDER`."""

import email
import email.policy
import pathlib
import re
import sys

snapshot, folder = map(pathlib.Path, sys.argv[1:])
text = snapshot.read_text().split("\n---\n", 1)[1]
for name, letter in re.findall(r"^== (\w+)\n(.*?)(?=^== |\Z)", text, re.S | re.M):
    body = email.message_from_string(letter, policy=email.policy.default).get_body(("html",))
    if body is not None:
        (folder / f"{name}.html").write_text(body.get_content())
        print(name)
