package mcp

import "bytes"

// The range of a 64-bit float, by the exponents of ten of its ends and their
// first digits. Between them and the true ends (2^1024-2^970, which rounds to
// infinity, and 2^-1075, which rounds to zero) are numbers that nobody writes.
const (
	highest, tooHigh = 308, "1797693134862315807"
	lowest, tooLow   = -324, "2470328229206232721"
	// farExponent is where readers stop counting.
	farExponent = 9999
)

// outOfRange reports whether a 64-bit float holds n as infinite, or as zero
// though it is not. What is no number is left to the parser. It looks at each
// byte once: the conversion is thousands of times as slow for numbers at the ends
// of the range as for others, and a message may be of nothing else.
func outOfRange(n []byte) bool {
	var first [len(tooHigh)]byte
	power, digits, exponent := magnitude(n, first[:])
	if digits == 0 {
		return false
	}
	if exponent > farExponent || exponent < -farExponent {
		return true
	}
	switch power += exponent; power {
	case highest:
		return string(first[:]) >= tooHigh
	case lowest:
		return string(first[:]) < tooLow
	}
	return power > highest || power < lowest
}

// isSlow reports whether conversion of n, which is no integer, takes thousands of
// steps: strconv has no short way for a subnormal number, nor for all of more
// digits than fit 64 bits.
func isSlow(n []byte) bool {
	power, digits, exponent := magnitude(n, nil)
	return bytes.ContainsAny(n, ".eE") && digits > 0 && (power+exponent < -307 || digits > 19)
}

// anyNumber reports whether a number in text, which is JSON, is such a one.
func anyNumber(text []byte, such func(n []byte) bool) bool {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			i = stringEnd(text, i)
		case c == '-' || '0' <= c && c <= '9':
			end := numberEnd(text, i)
			if such(text[i:end]) {
				return true
			}
			i = end - 1
		}
	}
	return false
}

// magnitude returns the power of ten of the first digit of n that is not zero,
// as it stands before the exponent, how many digits follow from there, and the
// exponent. It writes as many of them to first as go there, and zeros after.
func magnitude(n, first []byte) (power, digits, exponent int) {
	for i := range first {
		first[i] = '0'
	}
	power = -1
	point := false
	for i, c := range n {
		switch {
		case c == 'e' || c == 'E':
			return power, digits, exponentOf(n[i+1:])
		case c == '.':
			point = true
		case c < '0' || c > '9':
		case c == '0' && digits == 0: // before the first
			if point {
				power--
			}
		default:
			if digits < len(first) {
				first[digits] = c
			}
			digits++
			if !point {
				power++
			}
		}
	}
	return power, digits, 0
}

// exponentOf returns what text says, or a number beyond farExponent for any that
// is.
func exponentOf(text []byte) int {
	e := 0
	for _, c := range text {
		if '0' <= c && c <= '9' && e <= farExponent {
			e = 10*e + int(c-'0')
		}
	}
	if len(text) > 0 && text[0] == '-' {
		return -e
	}
	return e
}
