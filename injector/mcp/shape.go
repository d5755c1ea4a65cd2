package mcp

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// space is white space in JSON, and nothing else is.
const space = " \t\r\n"

// checkShape refuses, before anything is parsed, more members than are checked for
// a name that stands twice, nesting deeper than depth, and numbers out of the
// range of a 64-bit float, wherever they stand: what is 1e400 to one reader is
// Infinity, null or a fault to another, and 1e-400 is zero.
//
// Within that range readers agree on every number to the precision that they
// hold, and differ beyond it: 12345678901234567890 is itself to Python and
// 12345678901234567000 to JavaScript. In the one place where a number is read,
// an id, such a number is refused as well. Elsewhere it passes, because no
// judgement depends on it and servers have 64-bit ids of their own.
func checkShape(body []byte, depth int) error {
	if len(bytes.TrimLeft(body, space)) == 0 {
		return parseError("expected a JSON-RPC message, got an empty body")
	}
	if err := CheckWidth(body); err != nil {
		return err
	}
	level := 0
	for i := 0; i < len(body); i++ {
		switch c := body[i]; c {
		case '"':
			i = stringEnd(body, i)
		case '{', '[':
			if level++; level > depth {
				return parseError("expected nesting of at most %d levels, got more at byte %d", depth, i)
			}
		case '}', ']':
			level--
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			end := numberEnd(body, i)
			if outOfRange(body[i:end]) {
				return parseError("expected numbers in the range of a 64-bit float, got one out of it at byte %d", i)
			}
			i = end - 1
		}
	}
	return nil
}

// stringEnd returns the index of the quote that ends the string begun at i, or
// the last index.
func stringEnd(body []byte, i int) int {
	for {
		next := bytes.IndexByte(body[i+1:], '"')
		if next < 0 {
			return len(body) - 1
		}
		i += 1 + next
		slashes := 0
		for body[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i
		}
	}
}

// numberEnd returns the index after the number begun at i.
func numberEnd(body []byte, i int) int {
	for i++; i < len(body); i++ {
		switch c := body[i]; {
		case '0' <= c && c <= '9', c == '.', c == 'e', c == 'E', c == '+', c == '-':
		default:
			return i
		}
	}
	return i
}

// KindOf returns the word for what value, which is JSON or nil, is.
func KindOf(value []byte) string {
	if value == nil {
		return "none"
	}
	return kindName(jsontext.Value(value).Kind())
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return fmt.Sprintf("%q", byte(k))
}
