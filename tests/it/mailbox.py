"""A mail server for tests: prints its port, keeps each letter and its envelope as files.

Usage: mailbox.py FOLDER [--user NAME --password WORD]; ends when its standard input does.
"""

import argparse
import asyncio
import json
import logging
import pathlib
import sys
import warnings

from aiosmtpd.smtp import SMTP, AuthResult

# It says that signing in without TLS is unwise; this is one machine talking to itself.
warnings.simplefilter("ignore")
logging.disable()

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("--user")
parser.add_argument("--password")
options = parser.parse_args()
count = 0


class Keep:
    async def handle_DATA(self, server, session, envelope):
        global count
        count += 1
        letter = options.folder / f"{count:06}"
        letter.with_suffix(".eml").write_bytes(envelope.content)
        about = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": session.ssl is not None}
        letter.with_suffix(".json").write_text(json.dumps(about))
        return "250 taken"


def known(server, session, envelope, mechanism, data):
    login, password = data.login.decode(), data.password.decode()
    return AuthResult(success=(login, password) == (options.user, options.password), handled=False)


def protocol():
    if options.user is None:
        return SMTP(Keep())
    return SMTP(Keep(), authenticator=known, auth_required=True, auth_require_tls=False)


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
