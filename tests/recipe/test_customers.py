"""The list of customers: what is read, and that every fault has its line, column and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asrpack.bundle.host import HostBinding
from asrpack.bundle.keys import public_pem, read_key
from asrpack.bundle.metadata import unix_seconds
from asrpack.errors import AsrpackError, ErrorGroup, KeyFileError
from asrpack.protect.keys import generate
from asrpack.recipe.customers import Customer, read_customer, read_customers

NOW = unix_seconds("2026-11-30T00:00:00Z")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("acme", "beta", "gamma"):
        private = generate("recipient", "x25519")
        (tmp_path / f"{name}.key").write_bytes(private)
        (tmp_path / f"{name}.pub").write_bytes(public_pem(read_key(private, name)))
    binding = HostBinding.of({"machine-id": "a" * 32, "mac": "b"}, bytes(16), 2)
    (tmp_path / "host.json").write_bytes(binding.to_json())
    return tmp_path


def read(folder: Path, text: str | bytes) -> list[Customer]:
    path = folder / "customers.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_customers(path, NOW)


def faults(folder: Path, text: str | bytes) -> list[tuple[str, str]]:
    """Place (without the folder) and message of each."""
    with pytest.raises(AsrpackError) as caught:
        read(folder, text)
    assert caught.value.exit_code == 3
    group = caught.value.errors if isinstance(caught.value, ErrorGroup) else [caught.value]
    assert all(error.remedy for error in group)
    return [(str(error.place).removeprefix(f"{folder}/"), error.message) for error in group]


def test_names_and_keys_are_enough(folder: Path) -> None:
    (acme,) = read(folder, "customer,recipient\nacme,acme.pub\n")
    assert acme.name == "acme" and not acme.licensed
    assert acme.recipient.encode() == (folder / "acme.pub").read_bytes()


def test_terms_are_read(folder: Path) -> None:
    acme, beta = read(
        folder,
        "recipient,customer,expires,grace,streams,hosts,not_before\n"
        "acme.pub,acme,2027-01-31,14,3,host.json; host.json,2027-01-01\n"
        "beta.pub,beta,2027-01-31T12:00:00Z,,,,\n",
    )
    terms = acme.terms(NOW)
    assert (terms.customer, terms.grace_days, terms.streams) == ("acme", 14, 3)
    assert terms.not_before == unix_seconds("2027-01-01T00:00:00Z")
    assert terms.expires == unix_seconds("2027-02-01T00:00:00Z"), (
        "the day that is named is the last"
    )
    assert [host.needed for host in terms.hosts] == [2, 2]
    assert beta.licensed and beta.terms(NOW).not_before == NOW
    assert beta.terms(NOW).expires == unix_seconds("2027-01-31T12:00:00Z")


def test_what_spreadsheets_write_is_read(folder: Path) -> None:
    text = '\ufeffcustomer,recipient,streams\r\n acme ,"acme.pub",\r\n\r\n,,\r\nbeta,beta.pub,2\r\n'
    assert [item.name for item in read(folder, text)] == ["acme", "beta"]


def test_every_fault_is_told_at_once(folder: Path) -> None:
    text = (
        "customer,recipient,not_before,expires,grace,streams,hosts\n"
        "../x,acme.pub,,,,,\n"
        ",beta.pub,,,,,\n"
        "acme,missing.pub,,,,,\n"
        "beta,beta.key,31.1.2027,2027-02-30,-1,0,none.json\n"
        "gamma,gamma.pub,,2026-01-31,,,\n"
        "delta,acme.pub,,,3,,acme.pub\n"
        "acme,beta.pub\n"
    )
    assert faults(folder, text) == [
        ("customers.csv:2, column customer", "'../x' is no plain id"),
        ("customers.csv:3, column customer", "is empty"),
        ("customers.csv:4, column recipient",
         f"{folder}/missing.pub: cannot read the key file: No such file or directory"),
        ("customers.csv:5, column recipient",
         f"{folder}/beta.key: this is the private half of a recipient key; the public one is "
         "needed"),
        ("customers.csv:5, column not_before", "'31.1.2027' is no date"),
        ("customers.csv:5, column expires", "'2027-02-30' is no date"),
        ("customers.csv:5, column grace", "'-1' is no whole number from 0 to 3650"),
        ("customers.csv:5, column streams", "'0' is no whole number from 1 to 1000000"),
        ("customers.csv:5, column hosts",
         f"{folder}/none.json: cannot read the key file: No such file or directory"),
        ("customers.csv:6, column expires", "it ends before it begins, or has ended"),
        ("customers.csv:7, column hosts",
         f"{folder}/acme.pub: this is not a host document: is not JSON: Expecting value: "
         "line 1 column 1 (char 0)"),
        ("customers.csv:7, column grace", "days of grace after no end"),
        ("customers.csv:8", "has 2 fields, the first line 7"),
    ]  # fmt: skip


def test_nobody_is_there_twice(folder: Path) -> None:
    text = "customer,recipient\nacme,acme.pub\nbeta,beta.pub\nACME,gamma.pub\ngamma,beta.pub\n"
    assert faults(folder, text) == [
        ("customers.csv:4, column customer", "'ACME' is in line 2, too"),
        ("customers.csv:5, column recipient", "the same key as 'beta' in line 3 has: each could "
         "open the other's bundle"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", "customers.csv:1", "there is no column customer"),
        ("customer\nacme\n", "customers.csv:1", "there is no column recipient"),
        ("customer,recipient,expire\n", "customers.csv:1", "unknown column 'expire'"),
        ("customer,recipient,customer\n", "customers.csv:1", "the column customer is there twice"),
        ("customer;recipient\n", "customers.csv:1", "unknown column 'customer;recipient'"),
        ("customer,recipient\n", "customers.csv", "there is no customer in it"),
        ('customer,recipient\n"acme,acme.pub\n', "customers.csv:2",
         "this is not CSV: unexpected end of data"),
        ('customer,recipient\n"acme"x,acme.pub\n', "customers.csv:2",
         "this is not CSV: ',' expected after '\"'"),
        (b"customer,recipient\nacm\xe9,acme.pub\n", "customers.csv:2", "not UTF-8: byte 0xe9"),
        ("customer,recipient\nacme,\0\n", "customers.csv:2", "there is a NUL in it"),
    ],
)  # fmt: skip
def test_what_is_no_such_file(folder: Path, text: str, place: str, message: str) -> None:
    ((where, what),) = faults(folder, text)
    assert (where, what) == (place, message)


def test_a_line_keeps_its_number_after_a_field_of_several_lines(folder: Path) -> None:
    text = 'customer,recipient\n"a\nb",acme.pub\nc d,beta.pub\n'
    assert [place for place, _ in faults(folder, text)] == [
        "customers.csv:2, column customer", "customers.csv:4, column customer",
    ]  # fmt: skip


@given(text=st.text(st.sampled_from('acme,"\n\r;./-2027 Z\x00\xe9beta.pubhost.json'), max_size=80))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_it_is_read_or_refused_in_words(folder: Path, text: str) -> None:
    head = "customer,recipient,not_before,expires,grace,streams,hosts\n"
    for whole in (text, head + text):
        try:
            read(folder, whole)
        except AsrpackError as error:
            assert error.exit_code == 3


def test_there_is_no_file(folder: Path) -> None:
    with pytest.raises(AsrpackError, match="cannot be read: No such file"):
        read_customers(folder / "none.csv", NOW)


def test_one_customer(folder: Path) -> None:
    assert read_customer("acme", folder / "acme.pub").key_id
    with pytest.raises(AsrpackError, match="no plain id"):
        read_customer("a/b", folder / "acme.pub")
    with pytest.raises(KeyFileError):
        read_customer("acme", folder / "acme.key")
