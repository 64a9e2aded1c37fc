"""The published schemas of a bundle's documents, which come with packages: nothing is fetched."""

from __future__ import annotations

import json
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement


def check_statement(statement: dict[str, Any]) -> None:
    """Holds a statement against the messages that in-toto and SLSA publish; nothing unknown."""
    parsed = json_format.Parse(json.dumps(statement), statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    predicate = statement["predicate"]
    message = json_format.Parse(json.dumps(predicate), provenance_pb2.Provenance())
    assert message.build_definition.build_type and message.run_details.builder.id
    # Required by SLSA: complete parameters of who asked for the build.
    assert message.build_definition.external_parameters.fields
    described = [
        *message.build_definition.resolved_dependencies,
        *message.run_details.byproducts,
    ]
    for item in described:
        ResourceDescriptor.copy_from_pb(item).validate()
        assert item.digest or item.uri
        for kind, digest in item.digest.items():
            assert kind in ("sha256", "asrpackListing")
            assert bytes.fromhex(digest).hex() == digest and len(digest) == 64
    # As written, and not by a name that protobuf takes as well.
    assert json_format.MessageToDict(message) == predicate


def bill_faults(bill: dict[str, Any]) -> Any:
    """What CycloneDX's schema has against a bill of materials; None where nothing."""
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill))
