"""The smoke check: `BASE_URL` returns 200 over verified HTTPS, and the environment it was deployed to."""

import json
import os
import ssl
import sys
import urllib.error
import urllib.request

context = ssl.create_default_context(cafile=os.environ.get("CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE"))
url = os.environ["BASE_URL"]
try:
    with urllib.request.urlopen(f"{url}/", timeout=10, context=context) as response:
        body = json.loads(response.read())
except urllib.error.HTTPError as error:
    sys.exit(f"SMOKE FAILED: GET {url}/ returned {error.code}: {error.read().decode()}")
if body["environment"] != os.environ["ENVIRONMENT"]:
    sys.exit(f"SMOKE FAILED: {url} is {body['environment']}, not {os.environ['ENVIRONMENT']}")
sys.stdout.write(f"smoke passed: release {body['release']} in {body['environment']}\n")
