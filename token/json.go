package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// maxDepth is how deep claims may nest. Ours do not nest at all.
const maxDepth = 16

// readObject reads p as exactly one JSON object in UTF-8, in which no object
// has two members of one name: parsers disagree about which of the two counts
// (RFC 8259 section 4; RFC 7519 section 4 lets us refuse). Numbers come back
// as json.Number, as they were written.
func readObject(p []byte) (map[string]any, error) {
	if !utf8.Valid(p) {
		return nil, errors.New("not UTF-8")
	}
	if !json.Valid(p) { // also: nothing after the first value
		return nil, errors.New("not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(p))
	d.UseNumber()
	v, err := readValue(d, 0)
	if err != nil {
		return nil, err
	}
	m, isObject := v.(map[string]any)
	if !isObject {
		return nil, errors.New("not a JSON object")
	}
	return m, nil
}

func readValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	t, err := d.Token()
	if err != nil {
		return nil, errors.New("not JSON")
	}
	switch t {
	case json.Delim('{'):
		return readMembers(d, depth)
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := readValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token() // the closing bracket
		return list, err
	}
	return t, nil
}

func readMembers(d *json.Decoder, depth int) (map[string]any, error) {
	m := map[string]any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, errors.New("not JSON")
		}
		name, _ := t.(string) // valid JSON has nothing else here
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("member %.32q twice", name)
		}
		if m[name], err = readValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token() // the closing brace
	return m, err
}
