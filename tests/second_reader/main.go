// A second reader of asrpack's bundles, written from docs/format.md, with Go's standard library
// alone. It verifies a bundle, opens it for an X25519 or X-Wing key and prints the SHA-256 of each
// plaintext. Passphrases are left out: the standard library has no Argon2id. So are the rules for
// file names, which protect whoever writes files, and this writes none.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"syscall"
)

const maxFile = 1 << 36

// Over the same statement as model.sig; not part of it, and not read here.
var furtherSignature = regexp.MustCompile(`^signatures/[0-9a-f]{64}\.sig$`)

func main() {
	trust := flag.String("trust", "", "the vendor's public key")
	private := flag.String("identity", "", "the recipient's private key")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: secondreader -trust FILE -identity FILE BUNDLE")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *trust, *private); err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
}

func run(bundle, trust, private string) error {
	trustData, err := os.ReadFile(trust)
	if err != nil {
		return err
	}
	trusted, err := readTrusted(trustData)
	if err != nil {
		return err
	}
	privateData, err := os.ReadFile(private)
	if err != nil {
		return err
	}
	me, err := readIdentity(privateData)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(bundle)
	if err != nil {
		return err
	}
	defer root.Close()
	signature, err := read(root, "model.sig", 4<<20)
	if err != nil {
		return err
	}
	digests, err := checkSignature(signature, trusted)
	if err != nil {
		return err
	}
	if err := checkTree(root, digests); err != nil {
		return err
	}
	return open(root, digests, me, trusted.der)
}

// open decrypts every file and prints the plaintexts' digests.
func open(root *os.Root, digests map[string]string, me identity, signer []byte) error {
	data, err := readSigned(root, digests, "asrpack.json")
	if err != nil {
		return err
	}
	value, err := parse(data)
	if err != nil {
		return fmt.Errorf("asrpack.json: %w", err)
	}
	metadata, _ := value.(map[string]any)
	if metadata["format"] != "asrpack-bundle/1" {
		return errors.New("asrpack.json: not a bundle")
	}
	data, err = readSigned(root, digests, "model/envelope.json")
	if err != nil {
		return err
	}
	bundle, files, err := openEnvelope(data, me, signer)
	if err != nil {
		return err
	}
	if metadata["bundle_id"] != bundle {
		return errors.New("envelope and metadata are of two bundles")
	}
	var lines []string
	for _, file := range files {
		sum := sha256.New()
		for _, part := range file.payloads() {
			data, err := readSigned(root, digests, part.name)
			if err != nil {
				return err
			}
			plain, err := decrypt(data, file.key, bundle+"|"+part.place+"|1")
			if err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
			if int64(len(plain)) != part.size {
				return fmt.Errorf("%s: not of the size that the envelope says", part.name)
			}
			sum.Write(plain)
		}
		lines = append(lines, hex.EncodeToString(sum.Sum(nil))+"  "+file.path)
	}
	for _, line := range lines {
		fmt.Println(line)
	}
	return nil
}

// checkTree compares the directory with the signed list.
func checkTree(root *os.Root, digests map[string]string) error {
	found := 0
	err := fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := root.Lstat(path)
		if err != nil {
			return err
		}
		odd := info.Mode().Perm() &^ 0o664
		if entry.IsDir() {
			names, err := fs.ReadDir(root.FS(), path)
			if err != nil || (len(names) == 0 && path != ".") {
				return fmt.Errorf("%q is empty or cannot be read", path)
			}
			odd = info.Mode().Perm() &^ 0o775
		} else if !info.Mode().IsRegular() || info.Sys().(*syscall.Stat_t).Nlink != 1 {
			return fmt.Errorf("%q is no plain file of one name", path)
		}
		special := info.Mode() & (fs.ModeSetuid | fs.ModeSticky)
		if !entry.IsDir() {
			special |= info.Mode() & fs.ModeSetgid
		}
		if odd != 0 || special != 0 {
			return fmt.Errorf("%q has the mode %v", path, info.Mode())
		}
		if entry.IsDir() || path == "model.sig" || furtherSignature.MatchString(path) {
			return nil
		}
		if _, signed := digests[path]; !signed {
			return fmt.Errorf("%q is not part of the bundle", path)
		}
		found++
		_, err = readSigned(root, digests, path)
		return err
	})
	if err == nil && found != len(digests) {
		err = errors.New("a file is missing")
	}
	return err
}

func readSigned(root *os.Root, digests map[string]string, name string) ([]byte, error) {
	data, err := read(root, name, maxFile)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	if hex.EncodeToString(sum[:]) != digests[name] {
		return nil, fmt.Errorf("%q is not what was signed", name)
	}
	return data, nil
}

func read(root *os.Root, name string, limit int64) ([]byte, error) {
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%q is no plain file, or too large", name)
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%q grew", name)
	}
	return data, err
}
