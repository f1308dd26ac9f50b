package config

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// set parses text into v by v's type and tag.
func (s *source) set(v reflect.Value, text string, tag reflect.StructTag) error {
	switch t := v.Type(); {
	case t == durationType:
		d, err := parseDuration(text)
		if err != nil {
			return err
		}
		if err := bounded(d, tag, parseDuration, short); err != nil {
			return err
		}
		v.SetInt(int64(d))
		return nil
	case t == sizeType:
		n, err := ParseSize(text)
		if err != nil {
			return err
		}
		if err := bounded(n, tag, ParseSize, Size.String); err != nil {
			return err
		}
		v.SetInt(int64(n))
		return nil
	case t == prefixType:
		p, err := parsePrefix(text)
		if err != nil {
			return err
		}
		v.Set(reflect.ValueOf(p))
		return nil
	case t.Kind() == reflect.Int:
		n, err := parseInt(text)
		if err != nil {
			return err
		}
		if err := bounded(n, tag, parseInt, strconv.Itoa); err != nil {
			return err
		}
		v.SetInt(int64(n))
		return nil
	case t.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			return errorf("%q is neither true nor false", text)
		}
		v.SetBool(text == "true")
		return nil
	}
	text, err := s.text(text, tag)
	if err != nil {
		return err
	}
	v.SetString(text)
	return nil
}

func bounded[T int | Size | time.Duration](n T, tag reflect.StructTag, parse func(string) (T, error), show func(T) string) error {
	lo, hi := T(0), T(math.MaxInt)
	for name, p := range map[string]*T{"min": &lo, "max": &hi} {
		if text, ok := tag.Lookup(name); ok {
			b, err := parse(text)
			if err != nil {
				panic("BUG: config: tag " + name + ": " + err.Error())
			}
			*p = b
		}
	}
	if n < lo || n > hi {
		return errorf("%s is out of range: allowed is %s to %s", show(n), tag.Get("min"), tag.Get("max"))
	}
	return nil
}

func wanted(t reflect.Type, tag reflect.StructTag) string {
	switch {
	case tag.Get("enum") != "":
		return "one of " + strings.Join(strings.Split(tag.Get("enum"), ","), ", ")
	case t == durationType:
		return "a duration, as in 2s"
	case t == sizeType:
		return "a size, as in 512MiB"
	case t == prefixType:
		return "an address range, as in 10.0.0.0/8"
	case t.Kind() == reflect.Int:
		return "a whole number"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return kinds[tag.Get("kind")].example
}
