package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
)

const (
	keySize   = 32
	chunkSize = 16384
	tagSize   = 16
	headSize  = 24 + 32
)

var (
	uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	pathForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)*$`)
)

type identity struct {
	kem string
	kid string
	key hpke.PrivateKey
}

type encryptedFile struct {
	path     string
	size     int64
	partSize int64 // 0 where the file is one payload
	key      []byte
}

// payload is a file's ciphertext, or one part of it.
type payload struct {
	name  string // in the bundle
	place string // in the context
	size  int64
}

func (file encryptedFile) payloads() []payload {
	name := "model/" + file.path + ".enc"
	if file.partSize == 0 {
		return []payload{{name, file.path, file.size}}
	}
	var parts []payload
	for start := int64(0); start < file.size; start += file.partSize {
		number := fmt.Sprintf("%04d", len(parts))
		size := min(file.partSize, file.size-start)
		parts = append(parts, payload{name + "." + number, file.path + "/" + number, size})
	}
	return parts
}

// readIdentity takes a recipient's private key: X25519, or X-Wing.
func readIdentity(data []byte) (identity, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return identity{}, errors.New("the identity is not in PEM")
	}
	if block.Type == "ASRPACK X-WING PRIVATE KEY" {
		key, err := hpke.MLKEM768X25519().NewPrivateKey(block.Bytes)
		if err != nil {
			return identity{}, err
		}
		return identity{"x-wing", id(key.PublicKey().Bytes()), key}, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return identity{}, err
	}
	curve, ok := parsed.(*ecdh.PrivateKey)
	if !ok || curve.Curve() != ecdh.X25519() {
		return identity{}, errors.New("the identity is neither X25519 nor X-Wing")
	}
	der, err := x509.MarshalPKIXPublicKey(curve.PublicKey())
	if err != nil {
		return identity{}, err
	}
	key, err := hpke.NewDHKEMPrivateKey(curve)
	return identity{"x25519", id(der), key}, err
}

func id(public []byte) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:])
}

// openEnvelope gives the bundle's id and its files with their data keys.
func openEnvelope(data []byte, me identity, signer []byte) (string, []encryptedFile, error) {
	if len(data) > 1<<20 {
		return "", nil, errors.New("the envelope is too large")
	}
	value, err := parseCanonical(data, "the envelope")
	if err != nil {
		return "", nil, err
	}
	outer, err := fields(value, "the envelope", "header", "recipients")
	if err != nil {
		return "", nil, err
	}
	head, err := fields(outer[0], "the header", "format", "suite", "bundle_id", "signer", "files")
	if err != nil {
		return "", nil, err
	}
	bundle, _ := head[2].(string)
	if head[0] != "asrpack-envelope/1" || head[1] != "hpke-hkdf-sha256-aes-256-gcm" ||
		!uuidForm.MatchString(bundle) {
		return "", nil, errors.New("the envelope is of another format, suite or bundle id")
	}
	if head[3] != base64.StdEncoding.EncodeToString(signer) {
		return "", nil, errors.New("the envelope names another signer")
	}
	files, err := readFiles(head[4])
	if err != nil {
		return "", nil, err
	}
	recipients, ok := outer[1].([]any)
	if !ok || len(recipients) == 0 || len(recipients) > 64 {
		return "", nil, errors.New("the envelope has not 1 to 64 recipients")
	}
	wrapped, err := findRecipient(recipients, me)
	if err != nil {
		return "", nil, err
	}
	info := sha256.Sum256([]byte(canonical(outer[0])))
	secret, err := hpke.Open(me.key, hpke.HKDFSHA256(), hpke.AES256GCM(), info[:], wrapped)
	if err != nil {
		return "", nil, fmt.Errorf("the data keys do not open: %w", err)
	}
	if len(secret) != keySize*len(files) {
		return "", nil, errors.New("there is not one data key for each file")
	}
	for i := range files {
		files[i].key = secret[keySize*i : keySize*(i+1)]
	}
	return bundle, files, nil
}

func readFiles(value any) ([]encryptedFile, error) {
	list, ok := value.([]any)
	if !ok || len(list) == 0 || len(list) > 64 {
		return nil, errors.New("the envelope has not 1 to 64 files")
	}
	var files []encryptedFile
	for _, item := range list {
		names := []string{"path", "size", "cipher"}
		if object, ok := item.(map[string]any); ok {
			if _, parted := object["part_size"]; parted {
				names = append(names, "part_size")
			}
		}
		entry, err := fields(item, "a file", names...)
		if err != nil {
			return nil, err
		}
		path, _ := entry[0].(string)
		size, ok := entry[1].(int64)
		if !ok || size < 0 || size > 1<<36 || !pathForm.MatchString(path) ||
			entry[2] != "cobblestone-256" {
			return nil, errors.New("a file has a path, size or cipher that is not allowed")
		}
		part := int64(0)
		if len(entry) > 3 {
			part, ok = entry[3].(int64)
			if !ok || part < chunkSize || part >= size || (size+part-1)/part > 1024 {
				return nil, errors.New("a file is in parts of a size that is not allowed")
			}
		}
		if len(files) > 0 && files[len(files)-1].path >= path {
			return nil, errors.New("the files are unsorted or given twice")
		}
		files = append(files, encryptedFile{path: path, size: size, partSize: part})
	}
	return files, nil
}

// findRecipient checks every entry and gives what is wrapped for this identity.
func findRecipient(recipients []any, me identity) ([]byte, error) {
	var wrapped []byte
	last, passphrases := "", 0
	for _, item := range recipients {
		object, _ := item.(map[string]any)
		names := []string{"kid", "kem", "wrapped"}
		switch object["kem"] {
		case "x-wing", "x25519":
		case "argon2id":
			passphrases++
			names = append(names, "memory", "passes", "lanes")
		default:
			return nil, errors.New("a recipient's algorithm is not known")
		}
		if _, err := fields(item, "a recipient", names...); err != nil {
			return nil, err
		}
		for name, bounds := range map[string][2]int64{
			"memory": {1 << 16, 1 << 20}, "passes": {3, 6}, "lanes": {1, 8},
		} {
			number, ok := object[name].(int64)
			if len(names) > 3 && (!ok || number < bounds[0] || number > bounds[1]) {
				return nil, fmt.Errorf("a passphrase's %s is not allowed", name)
			}
		}
		kid, _ := object["kid"].(string)
		text, _ := object["wrapped"].(string)
		if !digestForm.MatchString(kid) || kid <= last || passphrases > 2 {
			return nil, errors.New("the recipients are unsorted, given twice or too many")
		}
		data, err := unbase64(text, "a wrapped key")
		if err != nil {
			return nil, err
		}
		if last = kid; kid == me.kid && object["kem"] == me.kem {
			wrapped = data
		}
	}
	if wrapped == nil {
		return nil, errors.New("the bundle is not for this identity")
	}
	return wrapped, nil
}

// decrypt verifies all of a Cobblestone-256 payload and gives its plaintext.
func decrypt(payload, dataKey []byte, context string) ([]byte, error) {
	if len(payload) < headSize+tagSize {
		return nil, errors.New("the payload is cut short")
	}
	info := "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + string(payload[:24]) + context
	derived, err := hkdf.Expand(sha512.New, dataKey, info, 76)
	if err != nil {
		return nil, err
	}
	key, base, commitment := derived[:32], derived[32:44], derived[44:]
	if subtle.ConstantTimeCompare(commitment, payload[24:headSize]) != 1 {
		return nil, errors.New("the commitment differs: another key or context")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, 0, len(payload))
	rest := payload[headSize:]
	for number := uint64(0); ; number++ {
		chunk := rest[:min(len(rest), chunkSize+tagSize)]
		nonce := append([]byte{}, base...)
		for i := range 8 {
			nonce[11-i] ^= byte(number >> (8 * i))
		}
		if plain, err = gcm.Open(plain, nonce, chunk, nil); err != nil {
			return nil, fmt.Errorf("chunk %d: %w", number, err)
		}
		if rest = rest[len(chunk):]; len(chunk) < chunkSize+tagSize {
			break
		}
	}
	return plain, nil
}
