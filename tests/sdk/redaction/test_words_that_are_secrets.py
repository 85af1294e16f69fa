"""Passwords that are plain words, in commands and table columns; and random values under unspecific names."""

from __future__ import annotations

import json

import pytest

from burnish.redaction import Redactor

REDACTOR = Redactor(b"k" * 32)
COMMANDS = (
    "mysql --password @@ db", "mysql --password=@@ db", "mysqldump -uroot -p@@ shop > x", "sshpass -p @@ ssh a@b",
    "sshpass -p@@ ssh a@b", "docker login -u anna -p @@ reg.io", "docker login --username anna --password @@",
    "helm registry login -u a -p @@", "az login -u anna -p @@", "mongo -u anna -p @@ db", "redis-cli -a @@ ping",
    "ldapsearch -w @@ -D cn=x", "smbclient //h/s -U anna%@@", "htpasswd -b f anna @@", "openssl enc -k @@ -in a",
    "openssl rsa -passin pass:@@", "keytool -list -storepass @@", "gpg --batch --passphrase @@ x", "zip -P @@ a.zip b",
    "unzip -P @@ a.zip", "7z x -p@@ a.7z", "curl -u anna:@@ https://x.org", "curl --user anna:@@ https://x.org",
    "curl -uanna:@@ https://x.org", "curl -s -u 'anna:@@' https://x.org", "http -a anna:@@ GET x.org",
    "wget --http-password=@@ https://x.org", "PGPASSWORD=@@ psql -h db", "DB_PASS=@@ ./run", "cmd --secret @@",
    "cmd --token=@@", "cmd --api-key @@", "psql mysql://anna:@@@db.host/x", "echo @@ | sudo -S ls",
    "net use * //h/s @@ /user:anna", "sqlcmd -U sa -P @@",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("word", ["hunter", "swordfish", "Geheimnis"])
@pytest.mark.parametrize("around", ["{}", "Run this:\n$ {}\n", "`{}`", "first; {} && last"])
def test_a_password_of_letters_goes_from_a_command(command, word, around):
    assert word not in REDACTOR.clean(around.format(command.replace("@@", word)))


@pytest.mark.parametrize(
    "text",
    [
        "use -p port 80", "docker run -p 8080:80 -u root:root image", "mkdir -p src/app", "git log -p file", "unzip -p a.zip f",
        "mysql -u root -p", "mysql -u root -p shop", "the --password option is required", "pass --token to the command",
        "with --password and --user", "curl -u $USER:$PASS https://x.org", "curl -u <user>:<password> https://x.org",
        "cmd --password-file secrets.txt", "chown -R anna:users dir", "ps -u anna", "sort --key 2", "ssh -p 2222 host",
        "cmd --password ${PASSWORD}", "--secret is not given", "cp -p here there", "rsync -a src dst",
    ],
)  # fmt: skip
def test_a_command_without_a_password_stays(text):
    assert REDACTOR.clean(text) == text


@pytest.mark.parametrize("mark", [",", ";", "\t", " | ", ", "])
@pytest.mark.parametrize(
    "name", ["password", "Secret", "api_token", "client_secret", "User Password"]
)
@pytest.mark.parametrize("before", ["", "The accounts are\n\n", "```csv\n"])
def test_a_column_of_a_telling_name_goes(mark, name, before):
    rows = [["id", name, "city"], ["1", "hunter", "Rome"], ["2", "swordfish", "Oslo"]]
    text = before + "\n".join(mark.join(row) for row in rows) + "\n"

    cleaned = REDACTOR.clean(text)

    assert "hunter" not in cleaned
    assert "swordfish" not in cleaned
    assert "Rome" in cleaned
    assert "Oslo" in cleaned


def test_a_column_of_a_markdown_table_goes():
    cleaned = REDACTOR.clean(
        "| user | password |\n|---|---|\n| anna | hunter |\n| bob | swordfish |\n"
    )

    assert "hunter" not in cleaned
    assert "swordfish" not in cleaned
    assert "| anna |" in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "column,type\npassword,varchar\nemail,varchar\n",
        "import os, secrets\nimport re, json\n",
        "Enter your name, password\nand press the button, twice\nor more\n",
        "model,max_tokens\ntiny,words\n",
        "name;city\nanna;Rome\n",
        "name,password\nanna,$PASSWORD\n",
    ],
)
def test_a_table_without_a_secret_stays(text):
    assert REDACTOR.clean(text) == text


DRAWN = ("Zk3nP9xQ2vL7mW4tR8sY", "a8f5f167f44f4964e6c998dee827110c", "x7Kd93kLmQ0zPw2=")


@pytest.mark.parametrize("name", ["session", "key", "salt", "sid", "session_id", "sessionId"])
@pytest.mark.parametrize("value", DRAWN)
def test_a_drawn_value_goes_under_a_name_that_tells_little(name, value):
    for data in ({name: value}, [{"name": name, "value": value}]):
        assert value not in json.dumps(REDACTOR.clean_value(data))
    assert value not in REDACTOR.clean_encoded(json.dumps({name: value}))
    assert value not in REDACTOR.clean(f"{name}={value}")


@pytest.mark.parametrize(
    "data",
    [
        {"key": "order_status"}, {"session": "morning"}, {"session": "2024-05-01"}, {"salt": "a pinch"}, {"key": "C major"},
        {"key": "src/app/main.py"}, {"session": "thread-42"}, {"key": "PROJ-1234"}, {"session": 12}, {"key": "customerName2"},
        {"session": "1b4e28ba-2fa1-11d2-883f-0016d3cca427"},
    ],
)  # fmt: skip
def test_a_word_or_name_stays_under_such_a_name(data):
    assert REDACTOR.clean_value(data) == data


@pytest.mark.parametrize(
    "number",
    ["004915112345678", "0049301234567", "0033142685300", "00442079460958", "0012125550187", "0049 30 1234567",
     "0049-151-1234567", "00420601234567"],
)  # fmt: skip
def test_a_phone_number_goes_behind_two_zeros(number):
    assert number not in REDACTOR.clean(f"Reach me under {number}, please.")


@pytest.mark.parametrize(
    "text", ["order 00123456", "part 0049301", "id 004930123456789012", "0000000000000"]
)
def test_another_number_stays_behind_two_zeros(text):
    assert REDACTOR.clean(text) == text
