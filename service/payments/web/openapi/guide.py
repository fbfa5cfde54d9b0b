"""What an integrator reads first: the description in the OpenAPI document and at the top of the reference."""

GUIDE = """\
Authorize, capture, void and refund payments: at most one charge, whatever fails.

Authentication: send `Authorization: Bearer sk_test_...`. Test keys never move money; live keys start with sk_live_. \
A key acts for one merchant in one mode, and may do what its scopes say.

Amounts are whole minor units: 1099 with currency EUR is 10.99 euros. Times are seconds since 1970.

Idempotency: every POST needs an Idempotency-Key, a new random value for each new request. If an answer does not \
arrive, send the very same request again with the same key: it is executed once, and answered alike with \
`Idempotency-Replayed: true`. 409 request_in_progress means that the first is still being executed. Secrets are not \
replayed: `secret` is then null. 429 and 503 mean that nothing was begun: send the same again under the same key after \
the seconds that `Retry-After` says.

Unknown outcomes: 202 means that the processor has not told the outcome yet. The object says `processing` or \
`pending`; an event tells its end. Do not send the payment again under another key.

Errors are problems (RFC 9457). `code` is stable and meant for programs; `type` leads to its description below. 402 \
carries `decline_code`, `advice` and `retryable`.

Lists are newest first. Give `next_cursor` back as `cursor` while `has_more` is true; what is made meanwhile never \
shifts a page.

Webhooks are signed as Standard Webhooks, which has libraries for most languages. By hand: take the \
base 64 after `whsec_` as the key, compute HMAC-SHA256 over `webhook-id.webhook-timestamp.body` with the raw body, \
and compare its base 64 with each `v1,...` of `webhook-signature`; refuse timestamps more than five minutes away. \
Answer 2xx within 15 seconds. Messages come at least once and in any order: `webhook-id` tells repetitions, \
`sequence` the order within a payment. What you do not take is sent again for three days; 410 disables the endpoint.\
"""
