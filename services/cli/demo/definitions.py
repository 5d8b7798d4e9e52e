"""The definitions of the demo's workspace, as `apply` would send them."""

from typing import Any

from services.cli.demo.model import HIGHEST_TO_EXPLAIN
from services.cli.demo.world import COUNTRY, REGIONS, STORES, TYPE
from services.cli.kinds import KINDS

SURVEY = "demo-purchase"
QUESTION = "recommend"
REASON = "reason"
METRIC = f"{SURVEY}.{QUESTION}"
TRIGGER = "demo-after-purchase"
POLICY_DAYS = 30
ENDPOINT = "demo-receiver"
UNHAPPY = 6

Document = dict[str, Any]


def definitions(receiver_url: str) -> list[Document]:
    """All documents; alerts go to the receiver."""
    return [
        *_units(),
        _journey(),
        _survey(),
        _policy(),
        _trigger(),
        _rule(),
        _endpoint(receiver_url),
    ]


def of_service(service: str, documents: list[Document]) -> list[Document]:
    """Those that a service owns."""
    return [document for document in documents if KINDS[document["kind"]].service == service]


def _units() -> list[Document]:
    units: list[Document] = [{"kind": "unit", "id": COUNTRY, "name": {"en": "China", "zh": "中国"}}]
    for id, (english, chinese, _) in REGIONS.items():
        units.append(
            {"kind": "unit", "id": id, "name": {"en": english, "zh": chinese}, "parent": COUNTRY}
        )
    for store in STORES:
        name = {"en": f"Store {store.code} (synthetic)", "zh": f"{store.code} 号店（虚拟）"}
        units.append(
            {
                "kind": "unit",
                "id": store.unit,
                "name": name,
                "aliases": [store.code],
                "parent": store.region,
            }
        )
    return units


def _journey() -> Document:
    checkout = {"id": "checkout", "name": {"en": "Checkout", "zh": "付款"}}
    return {
        "kind": "journey",
        "id": "demo-buy",
        "name": {"en": "Buy", "zh": "购买"},
        "touchpoints": [checkout],
    }


def _survey() -> Document:
    recommend = {
        "id": QUESTION,
        "kind": "nps",
        "text": {
            "en": "How likely are you to recommend us to a friend?",
            "zh": "您向朋友推荐我们的可能性有多大？",
        },
    }
    reason = {
        "id": REASON,
        "kind": "text",
        "show_if": {"path": f"answers.{QUESTION}", "lte": HIGHEST_TO_EXPLAIN},
        "text": {"en": "What should we do better?", "zh": "我们怎样可以做得更好？"},
    }
    title = {"en": "Your purchase", "zh": "您的购买"}
    return {"kind": "survey", "id": SURVEY, "title": title, "questions": [recommend, reason]}


def _policy() -> Document:
    return {"kind": "contact-policy", "id": "demo-monthly", "after_invitation": f"{POLICY_DAYS}d"}


def _trigger() -> Document:
    return {
        "kind": "trigger",
        "id": TRIGGER,
        "on": TYPE,
        "when": {"path": "data.amount", "gt": 0},
        "transaction": "data.order_no",
        "survey": SURVEY,
        "journey": "demo-buy",
        "touchpoint": "checkout",
        "dimensions": {"org": "data.store", "product": "data.product"},
        "contact_policy": "demo-monthly",
    }


def _rule() -> Document:
    when = {"path": f"answers.{QUESTION}", "lte": UNHAPPY}
    return {"kind": "alert-rule", "id": "demo-unhappy", "about": "response", "when": when}


def _endpoint(url: str) -> Document:
    return {"kind": "endpoint", "id": ENDPOINT, "url": url, "types": ["alert.*"]}
