"""Bucket errors: what an S3 endpoint's refusals mean for a user: one sentence each, with what to do. No secret is ever part of it."""

import contextlib
from collections.abc import Iterator

from unclip_pairs.errors import UserError

_KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_REFUSED = f"access is denied; {_KEYS} to credentials that may list, read, write and delete there"
_REGION = "the bucket lies in another region; set AWS_DEFAULT_REGION, or add ?region=NAME to the address"
_BUSY = "the server is busy or out of order; run the same command again later"
_CLOCK = "this machine's clock is wrong; set it right (NTP)"
_CODES = {
    "NoSuchBucket": "there is no such bucket; create it, or name another",
    "404": "there is no such bucket; create it, or name another",
    "InvalidBucketName": "that is no name of a bucket; use 3 to 63 small letters, digits, dots and hyphens",
    "InvalidAccessKeyId": f"the access key is unknown there; {_KEYS}",
    "SignatureDoesNotMatch": f"the secret does not fit the access key; {_KEYS}",
    "AccessDenied": _REFUSED,
    "AllAccessDisabled": _REFUSED,
    "AccountProblem": _REFUSED,
    "403": _REFUSED,
    "401": _REFUSED,
    "InvalidToken": f"the session token is not valid; {_KEYS} anew",
    "ExpiredToken": f"the credentials have expired; {_KEYS} anew",
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "PermanentRedirect": _REGION,
    "301": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "SlowDown": _BUSY,
    "ServiceUnavailable": _BUSY,
    "InternalError": _BUSY,
    "RequestTimeout": _BUSY,
    "500": _BUSY,
    "502": _BUSY,
    "503": _BUSY,
    "504": _BUSY,
    "QuotaExceeded": "the quota there is used up; free some space",
    "507": "the server's disk is full; free some space",
    "EntityTooLarge": "a file is larger than the server takes; raise its limit",
    "NoSuchUpload": "another process gave an upload up; run the same command again",
    "BadDigest": "bytes were changed on the way; look at the network, and run the same command again",
}


@contextlib.contextmanager
def explained_bucket(address: str, endpoint: str | None) -> Iterator[None]:
    """A block that asks the bucket: refusals and broken connections become a `UserError`, what only we can cause passes unchanged."""
    from botocore import exceptions

    try:
        yield
    except exceptions.ClientError as error:
        remedy = _CODES.get(str(error.response.get("Error", {}).get("Code")))
        if remedy is None:
            raise
        raise UserError(f"{address}: {remedy}") from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.CredentialRetrievalError) as error:
        raise UserError(f"{address}: there are no credentials; {_KEYS}") from error
    except exceptions.ProfileNotFound as error:
        raise UserError(f"{address}: {error}; set AWS_PROFILE to a profile that exists") from error
    except exceptions.ParamValidationError as error:
        if "bucket name" not in str(error):
            raise
        raise UserError(f"{address}: {_CODES['InvalidBucketName']}") from error
    except exceptions.SSLError as error:
        raise UserError(f"{address}: {_place(endpoint)} has no certificate that this machine trusts; set AWS_CA_BUNDLE") from error
    except (exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.InvalidProxiesConfigError) as error:
        raise UserError(
            f"{address}: {_place(endpoint)} does not answer; look whether it runs and whether the address is right "
            "(AWS_ENDPOINT_URL_S3, or ?endpoint=URL in the address), and run the same command again"
        ) from error
    except ValueError as error:
        if not str(error).startswith("Invalid endpoint"):
            raise
        raise UserError(f"{address}: {endpoint!r} is no endpoint; write it like http://127.0.0.1:9000") from error


def _place(endpoint: str | None) -> str:
    return f"the endpoint {endpoint}" if endpoint else "the S3 endpoint"
