"""What requests that were made up cannot know: what the shop has, and what the run itself needs.

SHOP_PRODUCT, SHOP_SKU and SHOP_ORDER name things that are there. Every second request that names a product, a SKU
or an order names these.
"""

import os

import schemathesis

THINGS = {
    "product_id": os.environ["SHOP_PRODUCT"],
    "sku": os.environ["SHOP_SKU"],
    "order_id": os.environ["SHOP_ORDER"],
}
OWNERS = {"/api/v1/products/{id}": "product_id", "/api/v1/orders/{id}": "order_id"}

calls = 0


@schemathesis.hook
def before_call(context, case, kwargs):
    global calls
    calls += 1
    path = case.operation.path
    for name in case.path_parameters or {}:
        owner = name
        for prefix, thing in OWNERS.items():
            if name == "id" and path.startswith(prefix):
                owner = thing
        if owner in THINGS and calls % 2 == 0:
            case.path_parameters[name] = THINGS[owner]
    body = case.body if isinstance(case.body, dict) else {}
    # What is put on sale here has no stock; who shops next to this run should not find it.
    if path == "/api/v1/products" and case.method.upper() == "POST" and body:
        case.body["on_sale"] = False
    if isinstance(body.get("product_id"), str) and calls % 2 == 0:
        case.body["product_id"] = THINGS["product_id"]


# A shop that is out of breath says so with Retry-After, and a client comes again. More of that than one request in a hundred is a fault.
BREATHS = 20

breaths = 0


@schemathesis.hook
def filter_failure(context, failure, case, response):
    global breaths
    if response.status_code == 503 and "retry-after" in response.headers:
        breaths += 1
        return breaths > BREATHS
    return True
