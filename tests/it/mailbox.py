"""A mail server for tests: prints its port, keeps each letter and its envelope as files.

Usage: mailbox.py FOLDER [--user NAME --password WORD] [--implicit | --starttls] [--certificate FILE --key FILE];
ends when its standard input does.
"""

import argparse
import asyncio
import json
import logging
import pathlib
import ssl
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
parser.add_argument("--implicit", action="store_true")
parser.add_argument("--starttls", action="store_true")
parser.add_argument("--certificate")
parser.add_argument("--key")
options = parser.parse_args()
count = 0


class Keep:
    async def handle_DATA(self, server, session, envelope):
        global count
        count += 1
        letter = options.folder / f"{count:06}"
        letter.with_suffix(".eml").write_bytes(envelope.content)
        about = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": server.transport.get_extra_info("cipher") is not None}
        letter.with_suffix(".json").write_text(json.dumps(about))
        return "250 taken"


def known(server, session, envelope, mechanism, data):
    login, password = data.login.decode(), data.password.decode()
    return AuthResult(success=(login, password) == (options.user, options.password), handled=False)


tls = None
if options.certificate:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(options.certificate, options.key)


def protocol():
    more = {}
    if options.user is not None:
        more.update(authenticator=known, auth_required=True, auth_require_tls=False)
    if options.starttls:
        more.update(tls_context=tls, require_starttls=True)
    return SMTP(Keep(), **more)


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls if options.implicit else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
