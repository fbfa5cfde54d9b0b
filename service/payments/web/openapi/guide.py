"""The integration guide: the description in the OpenAPI document, shown at the top of the reference."""

GUIDE = """\
Authorize, capture, void and refund payments, with at most one charge per request, whatever fails.

Authentication: send `Authorization: Bearer sk_test_...`. Test keys never move money; live keys start with \
`sk_live_`. HTTP Basic works too, with the key as the user name and an empty password (`curl -u sk_test_...:`). A \
key acts for one merchant in one mode, and its scopes limit what it may do.

Amounts are integers in minor units: 1099 with currency EUR is 10.99 euros. Times are Unix seconds.

Idempotency: every POST requires an `Idempotency-Key`, a new random value for each new request. If you get no \
response, send the same request again with the same key: it is executed once, and the retry returns the same response \
with `Idempotency-Replayed: true`. 409 `request_in_progress` means that the first request is still running. Secrets \
are not replayed: `secret` is then null. 429 and 503 mean that nothing was started: send the request again with the \
same key after the number of seconds in `Retry-After`. 500 `outcome_unknown` means that it may have been: do the same, \
and never use another key.

Unknown outcomes: 202 means that the processor has not reported the outcome yet. The object is `processing` or \
`pending`, and an event reports the outcome. Do not send the payment again with another key.

Errors are problems (RFC 9457). `code` is stable and meant for programs; `type` links to its description below. 402 \
carries `decline_code`, `advice` and `retryable`.

Lists are newest first. While `has_more` is true, pass `next_cursor` as `cursor` to get the next page; new objects \
never shift a page.

Webhooks follow Standard Webhooks, which has libraries for most languages. To verify a signature yourself: decode the \
base64 after `whsec_` to get the key, compute the HMAC-SHA256 of `webhook-id.webhook-timestamp.body` over the raw \
body, and compare its base64 with each `v1,...` in `webhook-signature`. Reject timestamps that are more than five \
minutes off. Respond with 2xx within 15 seconds. Delivery is at least once and in any order: `webhook-id` identifies \
duplicates, `sequence` gives the order within a payment. Failed deliveries are retried for three days; a 410 response \
disables the endpoint.\
"""
