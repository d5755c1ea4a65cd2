package broker

import (
	"cmp"
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"mintmark/broker/bundle"
)

// frame is what is fixed while the broker runs, by the names of mintmark.yaml.
func frame() []string {
	return []string{"trust_domain", "trust", "listeners", "audit", "state", "escrow", "limits", "metrics"}
}

// sameFrame refuses a change of what is fixed while the broker runs. Its error names the
// first value that changed, and what it was: none of the frame's is a secret.
func sameFrame(old, changed *bundle.Bundle) error {
	for _, name := range frame() {
		was, now := field(reflect.ValueOf(old.Config), name), field(reflect.ValueOf(changed.Config), name)
		if reflect.DeepEqual(was.Interface(), now.Interface()) {
			continue
		}
		path, was, now := differs(name, was, now)
		return changed.At(path, fmt.Sprintf("expected %s, as it was at start, got %s; restart the broker to change it, or put it back", shown(was), shown(now)))
	}
	return nil
}

// field returns the field of a struct that the file calls name.
func field(v reflect.Value, name string) reflect.Value {
	for i := range v.NumField() {
		if nameOf(v.Type().Field(i)) == name {
			return v.Field(i)
		}
	}
	panic("no field " + name) // of our own Config: a test changes each
}

func nameOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}

// differs returns the innermost value in which was and now differ, the first of them.
func differs(path string, was, now reflect.Value) (string, reflect.Value, reflect.Value) {
	for i := range parts(was, now) {
		part, of := path+"["+strconv.Itoa(i)+"]", reflect.Value.Index
		if was.Kind() == reflect.Struct {
			part, of = path+"."+nameOf(was.Type().Field(i)), reflect.Value.Field
		}
		a, b := of(was, i), of(now, i)
		if !reflect.DeepEqual(a.Interface(), b.Interface()) {
			return differs(part, a, b)
		}
	}
	return path, was, now
}

// parts returns how many parts of two values are to be compared one by one: none of
// what has a text of its own, and of lists of two lengths.
func parts(was, now reflect.Value) int {
	_, isText := was.Interface().(encoding.TextMarshaler)
	switch {
	case isText:
		return 0
	case was.Kind() == reflect.Struct:
		return was.NumField()
	case was.Kind() == reflect.Slice && was.Len() == now.Len():
		return was.Len()
	}
	return 0
}

func shown(v reflect.Value) string {
	switch {
	case v.IsZero() && v.Kind() != reflect.Bool:
		return "none"
	case v.Kind() == reflect.Slice:
		return fmt.Sprintf("a list of %d", v.Len())
	case v.Kind() == reflect.String: // a path may have blanks in it, and an address may be called "none"
		return strconv.Quote(v.String())
	}
	return cmp.Or(fmt.Sprint(v.Interface()), "none")
}
