"""Other people's code judges what receivers sent: `judges.py signatures|blocks`, requests on standard input.

One JSON object a line; prints `fine` for each, or what is wrong with it.
"""

import json
import sys


def signatures(case):
    from standardwebhooks.webhooks import Webhook, WebhookVerificationError

    for secret in case["secrets"]:
        Webhook(secret).verify(case["body"], case["headers"])
    for body, secret in ((case["body"] + " ", case["secrets"][0]), (case["body"], "whsec_b3RoZXI=")):
        try:
            Webhook(secret).verify(body, case["headers"])
        except WebhookVerificationError:
            continue
        raise ValueError("a forged one is accepted")


def blocks(case):
    from slack_sdk.models.blocks import Block, HeaderBlock, RichTextBlock, RichTextSectionElement

    payload = json.loads(case["body"])
    given = payload.get("blocks", [])
    parsed = Block.parse_all(given)
    if len(parsed) != len(given) or len(given) > 50:
        raise ValueError("a block is no block")
    for block, raw in zip(parsed, given):
        block.validate_json()
        if not isinstance(block, (HeaderBlock, RichTextBlock)):
            raise ValueError(f"a block of type {type(block)}")
        if isinstance(block, RichTextBlock):
            for section in block.elements:
                if not isinstance(section, RichTextSectionElement):
                    raise ValueError(f"a section of type {type(section)}")
                for element in section.elements:
                    element.validate_json()
        if json.loads(json.dumps(block.to_dict())) != raw:
            raise ValueError(f"{block.to_dict()} is not {raw}")


judge = {"signatures": signatures, "blocks": blocks}[sys.argv[1]]
for line in sys.stdin:
    try:
        judge(json.loads(line))
        print("fine")
    except Exception as fault:
        print(f"{type(fault).__name__}: {fault}")
