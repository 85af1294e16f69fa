"""Passwords in further commands and files, and national numbers of further countries, are replaced."""

import pytest

from burnish.redaction import Redactor

PASSWORD = "Tr0ub4dor&3x!"
WRITTEN = (
    "htpasswd -b file alice {}", "unzip -P {} a.zip", "useradd -p {} alice", "wpa_passphrase home {}",
    r"net use \\h\s /user:alice {}", "snmp-server community {} RO", "crypto isakmp key {} address 1.1.1.1",
    "username admin privilege 15 password 0 {}", "enable secret 5 {}", "sqlplus alice/{}@h", 'echo "alice:{}" | chpasswd',
    'chpasswd <<< "alice:{}"', "jdbc:oracle:thin:alice/{}@h:1521:x", "db.example.com:5432:shop:alice:{}",
    "EXEC sp_addlogin 'a', '{}'", "CREATE LOGIN a WITH PASSWORD = N'{}'", "rootpw {}", "bindpw {}", "oldpass={}",
    'requests.get(u, auth=("alice", "{}"))', "auth=HTTPBasicAuth('alice','{}')", 'login("alice", "{}")',
    'os.getenv("API_KEY", "{}")', '["password", "{}"]', "{'Key': 'DbPassword', 'Value': '{}'}", '(password . "{}")',
    '<property name="password">{}</property>', "<key>password</key><string>{}</string>", "userPassword:: {}",
    'the password for the box is "{}"', "Password for alice: {}", "password[0] = {}", 'psk="{}"',
    'Content-Disposition: form-data; name="password"\r\n\r\n{}\r\n',
)  # fmt: skip
NUMBERS = {
    "Austria": "SVNR 1237 010180", "Germany": "Ausweisnummer T220001293", "Poland": "NIP 526-000-12-46",
    "Czechia": "rodné číslo 736028/5163", "Romania": "CNP 1630615123457", "Bulgaria": "ЕГН 7523169263",
    "Greece": "ΑΦΜ 094259216", "United Kingdom": "nino: AB123456C", "Ireland": "PPS 1234567T", "Brazil": "11.222.333/0001-81",
    "Argentina": "CUIT 20-12345678-6", "Chile": "RUT 12.345.678-5", "Mexico": "RFC GODE561231GR8", "India": "PAN ABCPE1234F",
    "Taiwan": "身分證 A123456789", "Hong Kong": "HKID A123456(3)", "Singapore": "NRIC S1234567D", "Indonesia": "NIK 3171234567890123",
    "Thailand": "บัตรประชาชน 1-1017-00203-45-1", "South Africa": "ID number 8001015009087", "Israel": "ת.ז. 123456782",
    "Russia": "СНИЛС 112-233-445 95", "Ukraine": "РНОКПП 1759013776", "Estonia": "isikukood 37605030299",
    "Croatia": "OIB 33392005961", "Hungary": "TAJ 111 222 333", "Iceland": "kennitala 120174-3399",
    "Bangladesh": "ফোন ০১৭১২৩৪৫৬৭৮", "Saudi Arabia": "هاتف ٠٥٠١٢٣٤٥٦٧", "Thai phone": "โทร ๐๘๑๒๓๔๕๖๗๘",
}  # fmt: skip
ORDINARY = (
    "the password policy for admins is: required", "Token for user: missing", "login('alice', 'home')",
    "pan 2 tomatoes and 300 g of rice", "an inn from 1890", "psk: disabled", 'auth("a", "b")', "level 5 of 12345",
    "password 5 characters", "secret 7 layers", "<property name=\"password\">required</property>", "run 123 of 4567",
)  # fmt: skip


@pytest.mark.parametrize("written", WRITTEN)
def test_a_password_is_found_however_it_is_handed_over(written):
    assert PASSWORD not in Redactor(b"key").clean(written.replace("{}", PASSWORD))


@pytest.mark.parametrize("country", NUMBERS)
def test_a_number_of_a_person_is_found_by_its_name_in_the_language(country):
    text = NUMBERS[country]
    first = next(place for place, char in enumerate(text) if char.isdigit())
    cleaned = Redactor(b"key").clean(text)

    assert cleaned != text
    assert text[first:] not in cleaned
    assert text[-8:] not in cleaned


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_beside_such_words_stays(text):
    assert Redactor(b"key").clean(text) == text


@pytest.mark.parametrize(
    "value",
    [
        {"columns": ["user", "password"], "rows": [["alice", PASSWORD], ["bob", PASSWORD]]},
        {"header": ["name", "api_key"], "data": [["x", PASSWORD]]},
        {"ParameterName": "DbPassword", "ParameterValue": PASSWORD},
        {"id": "password", "value": PASSWORD},
        {"label": "Password", "value": PASSWORD},
        {"stringData": {"x": PASSWORD}},
        {"user": {"client-key-data": PASSWORD}},
        {"passPhrase": PASSWORD, "creds": PASSWORD, "security_answer": PASSWORD},
    ],
)
def test_tables_and_further_pairs_of_names_and_values_are_clean(value):
    assert PASSWORD not in str(Redactor(b"key").clean_value(value))


@pytest.mark.parametrize(
    "value",
    [
        {"columns": ["user", "city"], "rows": [["alice", "Rome"]]},
        {"columns": ["user", "max_tokens"], "rows": [["alice", 12]]},
        {"id": "order", "value": "A-1"},
    ],
)
def test_other_tables_stay_the_same_object(value):
    assert Redactor(b"key").clean_value(value) is value
