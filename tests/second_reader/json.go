package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

const maxDepth = 32

// parse reads JSON as docs/format.md has it, section "JSON".
func parse(data []byte) (any, error) {
	if !utf8.Valid(data) || bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return nil, errors.New("not UTF-8 without a byte order mark")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	value, err := parseValue(decoder, 0)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("something follows its end")
	}
	return value, nil
}

func parseValue(decoder *json.Decoder, depth int) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Number:
		number, err := strconv.ParseInt(token.String(), 10, 64)
		if err != nil || number >= 1<<53 || number <= -(1<<53) {
			return nil, fmt.Errorf("%.20s is no integer that is allowed", token)
		}
		return number, nil
	case json.Delim:
		if depth >= maxDepth {
			return nil, errors.New("nested too deep")
		}
		if token == '[' {
			return parseList(decoder, depth+1)
		}
		return parseObject(decoder, depth+1)
	}
	return token, nil
}

func parseList(decoder *json.Decoder, depth int) (any, error) {
	list := []any{}
	for decoder.More() {
		item, err := parseValue(decoder, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	_, err := decoder.Token()
	return list, err
}

func parseObject(decoder *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		name, ok := key.(string)
		if _, twice := object[name]; !ok || twice {
			return nil, fmt.Errorf("the key %.50q is there twice", name)
		}
		if object[name], err = parseValue(decoder, depth); err != nil {
			return nil, err
		}
	}
	_, err := decoder.Token()
	return object, err
}

// canonical writes what parse read in the one form that is canonical.
func canonical(value any) string {
	switch value := value.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(value)
	case int64:
		return strconv.FormatInt(value, 10)
	case string:
		return quote(value)
	case []any:
		parts := make([]string, len(value))
		for i, item := range value {
			parts[i] = canonical(item)
		}
		return "[" + strings.Join(parts, ",") + "]"
	case map[string]any:
		names := make([]string, 0, len(value))
		for name := range value {
			names = append(names, name)
		}
		sort.Strings(names) // bytes of UTF-8 are in the order of code points
		for i, name := range names {
			names[i] = quote(name) + ":" + canonical(value[name])
		}
		return "{" + strings.Join(names, ",") + "}"
	}
	panic("not a value that parse gives")
}

func quote(text string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range text {
		if i := strings.IndexRune("\"\\\b\f\n\r\t", r); i >= 0 {
			out.WriteString([]string{`\"`, `\\`, `\b`, `\f`, `\n`, `\r`, `\t`}[i])
		} else if r < 0x20 {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
	return out.String()
}

// parseCanonical refuses everything but the canonical form.
func parseCanonical(data []byte, what string) (any, error) {
	value, err := parse(data)
	if err == nil && canonical(value) != string(data) {
		err = errors.New("not canonical JSON")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return value, nil
}

// fields gives the values of an object that has exactly these fields.
func fields(value any, what string, names ...string) ([]any, error) {
	object, ok := value.(map[string]any)
	if !ok || len(object) != len(names) {
		return nil, fmt.Errorf("%s has not exactly the fields %v", what, names)
	}
	values := make([]any, len(names))
	for i, name := range names {
		if values[i], ok = object[name]; !ok {
			return nil, fmt.Errorf("%s has no %s", what, name)
		}
	}
	return values, nil
}

// texts is fields of which each is a string.
func texts(value any, what string, names ...string) ([]string, error) {
	values, err := fields(value, what, names...)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(values))
	for i, item := range values {
		text, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("%s: %s is no text", what, names[i])
		}
		out[i] = text
	}
	return out, nil
}

// unbase64 decodes what has only one way to be written.
func unbase64(text, what string) ([]byte, error) {
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("%s is not canonical base64", what)
	}
	return data, nil
}
