"""Signatures as Standard Webhooks wants them."""

import base64
import hashlib
import hmac

import pytest

from data.errors import InputError
from serving.signatures import new_secret, signed_headers, signing_key


def test_the_published_vector() -> None:
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_id_time_and_body_are_all_signed() -> None:
    key = signing_key(new_secret())
    signed = [
        signed_headers(key, id, at, body)["webhook-signature"]
        for id, at, body in (("a", 1, b"x"), ("b", 1, b"x"), ("a", 2, b"x"), ("a", 1, b"y"), ("a.1", 1, b"x"))
    ]
    assert len(set(signed)) == 5
    expected = hmac.new(key, b"a.1.x", hashlib.sha256).digest()
    assert base64.b64decode(signed[0].removeprefix("v1,")) == expected


def test_new_secrets_are_256_random_bits() -> None:
    first, second = signing_key(new_secret()), signing_key(new_secret())
    assert len(first) == len(second) == 32 and first != second


WRONG = {
    "no prefix": base64.b64encode(bytes(32)).decode(),
    "too short": "whsec_" + base64.b64encode(bytes(23)).decode(),
    "too long": "whsec_" + base64.b64encode(bytes(65)).decode(),
    "not base64": "whsec_" + "?" * 40,
    "not ASCII": "whsec_" + "密" * 40,
    "blank": "whsec_" + base64.b64encode(bytes(32)).decode() + "\n",
    "empty": "",
}


@pytest.mark.parametrize("secret", WRONG.values(), ids=WRONG)
def test_a_wrong_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(InputError) as error:
        signing_key(secret)
    assert error.value.code == "secret_invalid"
    assert not secret or secret not in str(error.value)
