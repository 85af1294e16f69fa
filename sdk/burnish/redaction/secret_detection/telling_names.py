"""Recognise names whose value is a secret.

`is_telling("DB_PASSWORD")`, `is_telling("x-api-key")` and `is_telling("contraseña")` are true;
names of counts and markers such as `max_tokens`, `token_count`, `next_page_token` and `eos_token`
are not.
"""

from __future__ import annotations

import re
from functools import lru_cache

PASSWORD_WORDS = (
    "password", "passwd", "passphrase", "passcode", "passwort", "kennwort", "motdepasse", "mdp", "mot_de_passe",
    "contraseña", "contrasena", "contrasenya", "clave", "senha", "palavra_passe", "wachtwoord", "lösenord", "losenord",
    "passord", "adgangskode", "salasana", "hasło", "haslo", "heslo", "jelszó", "jelszo", "parola", "şifre", "sifre",
    "пароль", "паролем", "密码", "密碼", "口令", "パスワード", "暗証番号", "비밀번호", "암호", "कूटशब्द", "पासवर्ड",
    "mật_khẩu", "kata_sandi", "รหัสผ่าน", "κωδικός", "סיסמה", "كلمة_المرور", "كلمة_السر",
)  # fmt: skip
"""Words for a password, in several languages; a blank is written as `_`."""

_SHORT_WORDS = frozenset(
    {"mdp", "clave", "senha", "hasło", "haslo", "heslo", "parola", "şifre", "sifre"}
)
_ANYWHERE = (
    *(word for word in PASSWORD_WORDS if word not in _SHORT_WORDS), "secret", "credential", "apikey", "api_key",
    "private_key", "privatekey", "access_key", "accesskey", "zugangsdaten", "密钥", "令牌", "凭据",
)  # fmt: skip
_LAST = (
    *_SHORT_WORDS, "pass", "pwd", "pw", "pswd", "token", "cookie", "cookies", "authorization", "auth_key", "authkey",
    "encryption_key", "signing_key", "account_key", "master_key", "service_key", "session_key", "license_key", "ssh_key",
    "storage_key", "subscription_key", "shared_key", "client_key", "deploy_key", "webhook_key", "admin_key", "app_key",
    "consumer_key", "bearer", "jwt", "cvv", "cvc", "otp", "totp", "pin_code", "requirepass", "masterauth", "sshpass",
    "access_tokens", "api_tokens", "refresh_tokens", "auth_tokens", "bearer_tokens", "session_tokens", "mnemonic",
    "seed_phrase", "psk", "creds", "key_data", "pass_phrase", "security_answer", "string_data", "pre_shared_key", "preshared_key", "recovery_code", "recovery_codes", "backup_codes",
)  # fmt: skip
_COUNTED = re.compile(
    r"(?:^|_)(?:max|min|num|n|total|prompt|completion|input|output|cached?|reasoning|audio|text|image|page|next|prev"
    r"|previous|continuation|sync|resume|cursor|eos|bos|pad|unk|sep|cls|mask|stop|special|end|start|first|last|begin"
    r"|per|top|accepted|rejected|generated|remaining|used|cancellation)_token$"
)
_ABOUT = re.compile(
    r"_(?:length|len|policy|required|expir\w*|ttl|url|uri|path|file|filename|field|fields|changed|updated|created|at"
    r"|reset|strength|min|max|count|counts|type|types|hint|enabled|disabled|valid|validator|rules?|regex|pattern|format"
    r"|version|arn|name|names|provider|manager|store|class|attempts|age|days|label|title|prompt|message|error|errors"
    r"|status|usage|limit|consent|banner|page|form|input|placeholder|algorithm|scope|scopes|size|id_field|ok|exists|hours|minutes|seconds|active)$"
)
_NOT_WORDS = re.compile(r"secretar|secretion|passwordless|compass|bypass|secretly|tokeniz|tokenis")
_SPLIT = re.compile(r"[^\W\d_A-Z]+|[A-Z]+(?![^\W\d_A-Z])|[A-Z][^\W\d_A-Z]*|\d+")
_PASSWORD = re.compile("|".join(map(re.escape, (*PASSWORD_WORDS, "pwd", "pswd"))))
_LONGEST = 64
_END_OF_NAME = tuple(f"_{word}" for word in _LAST)
_JOINED = (
    "token", "pwd", "authkey", "accesstokens", "apitokens", "rootpw", "bindpw", "userpw", "adminpw", "dbpw",
    "oldpass", "newpass", "dbpass", "userpass", "adminpass", "rootpass", "mypass", "mysqlpass", "sshpass", "keypass",
    "storepass", "smtppass", "mailpass", "ftppass", "loginpass",
)  # fmt: skip


def is_telling(name: str) -> bool:
    """Return whether a key, variable, header or field of this name holds a secret."""
    return _is_telling(name[-_LONGEST:])


def is_password_name(name: str) -> bool:
    """Return whether a name means a password, rather than a token or key."""
    words = words_of(name[-_LONGEST:])
    return _PASSWORD.search(words) is not None or words.endswith(("_pass", "_pw"))


@lru_cache(maxsize=4096)
def _is_telling(name: str) -> bool:
    words = words_of(name)
    if not words or _NOT_WORDS.search(words) or _ABOUT.search(words) or _COUNTED.search(words):
        return False
    if any(word in words or word in name for word in _ANYWHERE):
        return True
    if words in _LAST or words.endswith(_END_OF_NAME):
        return True
    return words.rstrip("0123456789_").endswith(_JOINED)


@lru_cache(maxsize=4096)
def words_of(name: str) -> str:
    """Split a snake, camel, kebab or spaced name into lower-case words joined by `_`."""
    found = name.lower() if name.islower() and name.isalpha() else "_".join(_SPLIT.findall(name))
    return found.lower()


def is_plural(name: str) -> bool:
    """Return whether a name is a plural, so that a number under it is a count."""
    return words_of(name).endswith("s") and not words_of(name).endswith(("pass", "sas"))
