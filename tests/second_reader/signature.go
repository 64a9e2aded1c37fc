package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
)

var digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

type trustedKey struct {
	key  *ecdsa.PublicKey
	der  []byte
	hint string
}

func readTrusted(data []byte) (trustedKey, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" || len(rest) != 0 {
		return trustedKey{}, errors.New("the trusted key is no public key in PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return trustedKey{}, err
	}
	curve, ok := key.(*ecdsa.PublicKey)
	if !ok || (curve.Curve != elliptic.P256() && curve.Curve != elliptic.P384()) {
		return trustedKey{}, errors.New("the trusted key is not ECDSA on P-256 or P-384")
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: block.Bytes})
	hint := sha256.Sum256(text)
	return trustedKey{curve, block.Bytes, hex.EncodeToString(hint[:])}, nil
}

// checkSignature verifies model.sig and gives the signed digests by path.
func checkSignature(data []byte, trusted trustedKey) (map[string]string, error) {
	outer, err := parseCanonical(data, "model.sig")
	if err != nil {
		return nil, err
	}
	top, err := fields(outer, "model.sig", "mediaType", "verificationMaterial", "dsseEnvelope")
	if err != nil {
		return nil, err
	}
	material, err := fields(top[1], "verificationMaterial", "publicKey", "tlogEntries")
	if err != nil {
		return nil, err
	}
	hint, err := texts(material[0], "publicKey", "hint")
	if err != nil {
		return nil, err
	}
	entries, ok := material[1].([]any)
	if !ok || len(entries) != 0 || top[0] != "application/vnd.dev.sigstore.bundle.v0.3+json" {
		return nil, errors.New("model.sig is of another form")
	}
	if hint[0] != trusted.hint {
		return nil, errors.New("signed by another key")
	}
	envelope, err := fields(top[2], "dsseEnvelope", "payload", "payloadType", "signatures")
	if err != nil {
		return nil, err
	}
	const kind = "application/vnd.in-toto+json"
	signatures, ok := envelope[2].([]any)
	encoded, isText := envelope[0].(string)
	if !ok || !isText || len(signatures) != 1 || envelope[1] != kind {
		return nil, errors.New("model.sig has not one signature over an in-toto statement")
	}
	signature, err := texts(signatures[0], "the signature", "keyid", "sig")
	if err != nil {
		return nil, err
	}
	payload, err := unbase64(encoded, "the payload")
	if err != nil {
		return nil, err
	}
	der, err := unbase64(signature[1], "the signature")
	if err != nil {
		return nil, err
	}
	signed := fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(payload), payload)
	if !ecdsa.VerifyASN1(trusted.key, digest(trusted.key, signed), der) {
		return nil, errors.New("the signature is not valid")
	}
	return readStatement(payload)
}

func digest(key *ecdsa.PublicKey, data []byte) []byte {
	if key.Curve == elliptic.P384() {
		sum := sha512.Sum384(data)
		return sum[:]
	}
	sum := sha256.Sum256(data)
	return sum[:]
}

func readStatement(payload []byte) (map[string]string, error) {
	value, err := parseCanonical(payload, "the statement")
	if err != nil {
		return nil, err
	}
	top, err := fields(value, "the statement", "_type", "subject", "predicateType", "predicate")
	if err != nil {
		return nil, err
	}
	predicate, err := fields(top[3], "the predicate", "serialization", "resources")
	if err != nil {
		return nil, err
	}
	const serialization = `{"allow_symlinks":false,"hash_type":"sha256","method":"files"}`
	resources, ok := predicate[1].([]any)
	if !ok || top[0] != "https://in-toto.io/Statement/v1" ||
		top[2] != "https://model_signing/signature/v1.0" ||
		canonical(predicate[0]) != serialization {
		return nil, errors.New("the statement is of another kind")
	}
	digests, all, last := map[string]string{}, sha256.New(), ""
	for _, item := range resources {
		resource, err := texts(item, "a resource", "name", "algorithm", "digest")
		if err != nil {
			return nil, err
		}
		name := resource[0]
		if resource[1] != "sha256" || !digestForm.MatchString(resource[2]) || name <= last {
			return nil, fmt.Errorf("%q: no SHA-256, or out of order", name)
		}
		raw, _ := hex.DecodeString(resource[2])
		all.Write(raw)
		digests[name], last = resource[2], name
	}
	root := hex.EncodeToString(all.Sum(nil))
	subjects, ok := top[1].([]any)
	if !ok || len(subjects) != 1 {
		return nil, errors.New("the statement has not one subject")
	}
	subject, err := fields(subjects[0], "the subject", "name", "digest")
	if err != nil {
		return nil, err
	}
	if sum, err := texts(subject[1], "the subject's digest", "sha256"); err != nil || sum[0] != root {
		return nil, errors.New("the subject's digest is not that of the files")
	}
	return digests, nil
}
