"""Requests at the edges of RFC 9110 and RFC 9112, and what the server answers to each."""

from dataclasses import dataclass

_HOST = b"Host: api.example\r\n"
_GET = b"GET /healthz HTTP/1.1\r\n"
_POST = b"POST /v1/payments HTTP/1.1\r\n" + _HOST
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n"
_END = b"0\r\n\r\n"
#: In a request that is refused; no answer and no log repeats it.
CANARY = b"4111111111111111"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is sent, and the answer's status. `closes` says that the answer ends the connection and announces it."""

    name: str
    data: bytes
    status: int
    closes: bool = True


def _refused(status: int = 400, **shapes: bytes) -> list[Shape]:
    return [Shape(name=name, data=data, status=status) for name, data in shapes.items()]


def _answered(status: int, **shapes: bytes) -> list[Shape]:
    return [Shape(name=name, data=data, status=status, closes=False) for name, data in shapes.items()]


def _path(raw: bytes) -> bytes:
    return b"GET " + raw + b" HTTP/1.1\r\n" + _HOST + b"\r\n"


_HOSTS = [
    *_refused(
        no_host=_GET + b"\r\n",
        two_hosts=_GET + _HOST + _HOST + b"\r\n",
        empty_host=_GET + b"Host: \r\n\r\n",
        host_with_path=_GET + b"Host: a/b\r\n\r\n",
        host_with_user=_GET + b"Host: a@b\r\n\r\n",
        host_with_space=_GET + b"Host: a b\r\n\r\n",
        host_list=_GET + b"Host: a, b\r\n\r\n",
        host_port=_GET + b"Host: a:65536\r\n\r\n",
        host_port_name=_GET + b"Host: a:x\r\n\r\n",
        host_open_bracket=_GET + b"Host: [::1\r\n\r\n",
        host_high=_GET + b"Host: \xc3\xa4\r\n\r\n",
        host_quote=_GET + b'Host: a"\r\n\r\n',
        old_bad_host=b"GET /healthz HTTP/1.0\r\nHost: a b\r\n\r\n",
        absolute_without_host=b"GET https://a/healthz HTTP/1.1\r\n\r\n",
    ),
    *_answered(
        200,
        host=_GET + _HOST + b"\r\n",
        host_and_port=_GET + b"HOST:\tapi.example:443 \r\n\r\n",
        host_ipv6=_GET + b"Host: [2001:db8::1]:8443\r\n\r\n",
    ),
    Shape(name="old_without_host", data=b"GET /healthz HTTP/1.0\r\n\r\n", status=200),
]

_FRAMING = [
    *_refused(
        length_and_chunked=_POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + _END,
        chunked_and_length=_CHUNKED + b"Content-Length: 5\r\n\r\n" + _END,
        coding_gzip=_POST + b"Transfer-Encoding: gzip\r\n\r\n",
        coding_not_last=_POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + _END,
        coding_twice=_CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n" + _END,
        coding_list_twice=_POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + _END,
        coding_identity=_POST + b"Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\na",
        coding_alike=_POST + b"Transfer-Encoding: xchunked\r\n\r\n" + _END,
        coding_quoted=_POST + b'Transfer-Encoding: "chunked"\r\n\r\n' + _END,
        coding_tab=_POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + _END,
        coding_space=_POST + b"Transfer-Encoding : chunked\r\n\r\n" + _END,
        coding_empty=_POST + b"Transfer-Encoding: \r\n\r\n" + _END,
        coding_parameter=_POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n" + _END,
        coding_empty_item=_POST + b"Transfer-Encoding: ,chunked\r\n\r\n" + _END,
        coding_old=b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + _END,
        lengths_equal=_POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
        lengths_differ=_POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\naa",
        length_list=_POST + b"Content-Length: 1, 1\r\n\r\na",
        length_plus=_POST + b"Content-Length: +1\r\n\r\na",
        length_negative=_POST + b"Content-Length: -1\r\n\r\na",
        length_empty=_POST + b"Content-Length: \r\n\r\na",
        length_hex=_POST + b"Content-Length: 0x1\r\n\r\na",
        length_underscore=_POST + b"Content-Length: 1_0\r\n\r\n0123456789",
        length_overflow=_POST + b"Content-Length: 99999999999999999999999\r\n\r\na",
        length_space=_POST + b"Content-Length: 1 1\r\n\r\na",
        length_name_space=_POST + b"Content-Length : 1\r\n\r\na",
        chunk_hex=_CHUNKED + b"\r\n0x1\r\na\r\n" + _END,
        chunk_negative=_CHUNKED + b"\r\n-1\r\na\r\n" + _END,
        chunk_space=_CHUNKED + b"\r\n1 \r\na\r\n" + _END,
        chunk_overflow=_CHUNKED + b"\r\nfffffffffffffffff1\r\na\r\n" + _END,
        chunk_line_feed=_CHUNKED + b"\r\n1\na\n0\n\n",
        chunk_no_size=_CHUNKED + b"\r\n\r\na\r\n" + _END,
        chunk_unended=_CHUNKED + b"\r\n1\r\naXX" + _END,
        chunk_longer=_CHUNKED + b"\r\n1\r\nabc\r\n" + _END,
        chunk_extension_feed=_CHUNKED + b"\r\n1;a\nb\r\na\r\n" + _END,
        chunk_extension_nul=_CHUNKED + b"\r\n1;a\x00\r\na\r\n" + _END,
        length_in_trailers=_CHUNKED + b"\r\n2\r\n{}\r\n0\r\nContent-Length: 9\r\n\r\n",
        upgrade_with_body=_POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nab",
    ),
    *_refused(501, coding_gzip_chunked=_POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + _END),
    *_refused(
        413,
        length_too_large=_POST + b"Content-Length: 65537\r\n\r\n",
        length_much_too_large=_POST + b"Content-Length: 99999999999\r\n\r\n",
        chunks_too_large=_CHUNKED + b"\r\n" + (b"4000\r\n" + b" " * 0x4000 + b"\r\n") * 5 + _END,
        chunk_extension_long=_CHUNKED + b"\r\n1;" + b"a" * 400_000 + b"\r\na\r\n" + _END,
        trailers_long=_CHUNKED + b"\r\n0\r\n" + b"A: b\r\n" * 60_000 + b"\r\n",
    ),
    *_answered(
        401,  # without a key, so beyond the framing
        length=_POST + b"Content-Length: 2\r\n\r\n{}",
        length_zero=_POST + b"Content-Length: 0\r\n\r\n",
        length_leading_zeros=_POST + b"Content-Length: 0002\r\n\r\n{}",
        length_largest=_POST + b"Content-Length: 65536\r\n\r\n" + b" " * 65_536,
        chunks=_CHUNKED + b"\r\n1\r\n{\r\n1\r\n}\r\n" + _END,
        chunks_upper=_POST + b"transfer-encoding: CHUNKED\r\n\r\nA\r\n          \r\n" + _END,
        chunk_extension=_CHUNKED + b'\r\n2;a=b;c="d"\r\n{}\r\n' + _END,
        chunk_zeros=_CHUNKED + b"\r\n000002\r\n{}\r\n" + _END,
        trailers=_CHUNKED + b"\r\n2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
        underscore=_POST + b"Content_Length: 9\r\nTransfer_Encoding: chunked\r\n\r\n",
        no_body=_POST + b"\r\n",
    ),
    *_answered(200, body_of_get=_GET + _HOST + b"Content-Length: 3\r\n\r\nabc"),
]

_SYNTAX = [
    *_refused(
        line_feeds=b"GET /healthz HTTP/1.1\nHost: a\n\n",
        line_feed_in_headers=_GET + b"Host: a\nA: b\r\n\r\n",
        carriage_return=_GET + b"Host: a\rA: b\r\n\r\n",
        folded=_GET + _HOST + b"A: b\r\n c\r\n\r\n",
        folded_first=_GET + b" A: b\r\n" + _HOST + b"\r\n",
        name_space=_GET + _HOST + b"A : b\r\n\r\n",
        name_invalid=_GET + _HOST + CANARY + b"(: b\r\n\r\n",
        name_empty=_GET + _HOST + b": b\r\n\r\n",
        name_high=_GET + _HOST + b"\xc3\xa4: b\r\n\r\n",
        no_colon=_GET + _HOST + b"A\r\n\r\n",
        value_nul=_GET + _HOST + b"A: b\x00c\r\n\r\n",
        value_control=_GET + _HOST + b"A: b\x01c\r\n\r\n",
        space_in_target=b"GET /" + CANARY + b" 4111 1111 1111 1111 HTTP/1.1\r\n" + _HOST + b"\r\n",
        tabs=b"GET\t/healthz\tHTTP/1.1\r\n" + _HOST + b"\r\n",
        method_invalid=b"G@T /healthz HTTP/1.1\r\n" + _HOST + b"\r\n",
        version_lower=b"GET /healthz http/1.1\r\n" + _HOST + b"\r\n",
        binary=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        nothing_like_it=b"\xff\xfe\xfd" + CANARY + b"\r\n\r\n",
    ),
    *_refused(
        501,
        method_unknown=b"BREW /healthz HTTP/1.1\r\n" + _HOST + b"\r\n",
        method_lower=b"get /healthz HTTP/1.1\r\n" + _HOST + b"\r\n",
        connect=b"CONNECT a:443 HTTP/1.1\r\n" + _HOST + b"\r\n",
    ),
    *_refused(
        505,
        http2_preface=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        version_2=b"GET /healthz HTTP/2.0\r\n" + _HOST + b"\r\n",
        version_3=b"GET /healthz HTTP/3.0\r\n" + _HOST + b"\r\n",
        version_09=b"GET /healthz HTTP/0.9\r\n\r\n",
    ),
    *_refused(417, expectation=_POST + b"Expect: 200-ok\r\nContent-Length: 2\r\n\r\n{}"),
    *_refused(414, target_long=b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + _HOST + b"\r\n"),
    *_refused(
        431,
        value_long=_GET + _HOST + b"A: " + b"a" * 9000 + b"\r\n\r\n",
        name_long=_GET + _HOST + b"a" * 9000 + b": a\r\n\r\n",
        value_endless=_GET + _HOST + b"A: " + b"a" * 100_000,
        fields_many=_GET + _HOST + b"A: b\r\n" * 70 + b"\r\n",
        fields_together=_GET + _HOST + b"".join(b"A%d: " % n + b"a" * 8000 + b"\r\n" for n in range(10)) + b"\r\n",
        empty_lines=b"\r\n" * 40_000,
    ),
    *_answered(
        200,
        value_high=_GET + _HOST + b"A: \xff\r\n\r\n",
        value_empty=_GET + _HOST + b"A:\r\n\r\n",
        lines_before=b"\r\n\r\n" + _GET + _HOST + b"\r\n",
    ),
    *_answered(405, method_known=b"PROPFIND /healthz HTTP/1.1\r\n" + _HOST + b"\r\n"),
    Shape(name="upgrade", data=_GET + _HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", status=200),
    Shape(name="close", data=_GET + _HOST + b"Connection: close\r\n\r\n", status=200),
]

_TARGETS = [
    *_refused(
        encoded_slash=_path(b"/v1%2Fpayments"),
        encoded_slash_lower=_path(b"/v1%2fpayments"),
        encoded_slash_first=_path(b"/%2Fhealthz"),
        encoded_slash_in_id=_path(b"/v1/payments/a%2Fevents"),
        backslash=_path(b"/v1\\payments"),
        encoded_backslash=_path(b"/v1/payments/..%5C..%5Chealthz"),
        dot=_path(b"/./healthz"),
        dots=_path(b"/v1/../healthz"),
        dots_at_the_end=_path(b"/v1/.."),
        encoded_dots=_path(b"/v1/%2e%2E/healthz"),
        half_encoded_dots=_path(b"/v1/.%2e/healthz"),
        dots_with_parameter=_path(b"/v1/..;a=b/healthz"),
        slashes=_path(b"/v1//payments"),
        slashes_first=_path(b"//healthz"),
        slash_parameter=_path(b"/v1/;a=b/payments"),
        nul=_path(b"/healthz%00"),
        control=_path(b"/healthz%0d%0aA:b"),
        delete=_path(b"/healthz%7f"),
        overlong_slash=_path(b"/v1%c0%afpayments"),
        overlong_dot=_path(b"/v1/%c0%ae%c0%ae/healthz"),
        latin_1=_path(b"/v1/payments/%e4"),
        surrogate=_path(b"/v1/payments/%ed%a0%80"),
        percent=_path(b"/v1/payments/%"),
        percent_broken=_path(b"/v1/payments/%zz"),
        percent_u=_path(b"/v1%u002fpayments"),
        high=_path(b"/v1/\xc3\xa4"),
        fragment=_path(b"/healthz#a"),
        no_slash=_path(b"healthz"),
        query_only=_path(b"?a=b"),
        star=_path(b"*"),
        authority=_path(b"api.example:443"),
        other_scheme=_path(b"ftp://a/healthz"),
        user_in_target=_path(b"https://a@b/healthz"),
        no_authority=_path(b"https:///healthz"),
        absolute_slashes=_path(b"https://a//healthz"),
        absolute_encoded=_path(b"https://a/v1%2Fpayments"),
    ),
    *_answered(
        404,
        parameter=_path(b"/healthz;a=b"),
        encoded_parameter=_path(b"/healthz%3Ba=b"),
        encoded_twice=_path(b"/v1%252Fpayments"),
        dots_encoded_twice=_path(b"/v1/%252e%252e/healthz"),
        trailing_slash=_path(b"/healthz/"),
        other_case=_path(b"/HEALTHZ"),
        full_width=_path(b"/v1%EF%BC%8Fpayments"),
        three_dots=_path(b"/v1/.../healthz"),
        encoded_question=_path(b"/healthz%3Fa"),
        root=_path(b"/"),
    ),
    *_answered(
        200,
        absolute=_path(b"https://other.example:8443/healthz"),
        absolute_http=_path(b"HTTP://other.example/healthz"),
        encoded_letter=_path(b"/%68ealthz"),  # the same path, RFC 3986, section 6.2.2.2
    ),
    *_answered(404, absolute_without_path=_path(b"https://a")),
    *_answered(204, options=b"OPTIONS * HTTP/1.1\r\n" + _HOST + b"\r\n"),
]

SHAPES = [*_HOSTS, *_FRAMING, *_SYNTAX, *_TARGETS]
