package injector

import (
	"strings"
	"unicode/utf8"
)

// latinNames are the names in HTML of the characters from U+00A0 on.
var latinNames = [...]string{
	"nbsp;", "iexcl;", "cent;", "pound;", "curren;", "yen;", "brvbar;", "sect;", "uml;", "copy;", "ordf;", "laquo;", "not;", "shy;", "reg;", "macr;",
	"deg;", "plusmn;", "sup2;", "sup3;", "acute;", "micro;", "para;", "middot;", "cedil;", "sup1;", "ordm;", "raquo;", "frac14;", "frac12;", "frac34;", "iquest;",
	"Agrave;", "Aacute;", "Acirc;", "Atilde;", "Auml;", "Aring;", "AElig;", "Ccedil;", "Egrave;", "Eacute;", "Ecirc;", "Euml;", "Igrave;", "Iacute;", "Icirc;", "Iuml;",
	"ETH;", "Ntilde;", "Ograve;", "Oacute;", "Ocirc;", "Otilde;", "Ouml;", "times;", "Oslash;", "Ugrave;", "Uacute;", "Ucirc;", "Uuml;", "Yacute;", "THORN;", "szlig;",
	"agrave;", "aacute;", "acirc;", "atilde;", "auml;", "aring;", "aelig;", "ccedil;", "egrave;", "eacute;", "ecirc;", "euml;", "igrave;", "iacute;", "icirc;", "iuml;",
	"eth;", "ntilde;", "ograve;", "oacute;", "ocirc;", "otilde;", "ouml;", "divide;", "oslash;", "ugrave;", "uacute;", "ucirc;", "uuml;", "yacute;", "thorn;", "yuml;",
}

// name returns the name of r in HTML, or "". Some encoders name all that has one, as
// PHP's htmlentities does of HTML 5: the dots of a JWT are &period; then.
func name(r rune) string {
	switch r {
	case '\t':
		return "Tab;"
	case '\n':
		return "NewLine;"
	case '!':
		return "excl;"
	case '"':
		return "quot;"
	case '#':
		return "num;"
	case '$':
		return "dollar;"
	case '%':
		return "percnt;"
	case '&':
		return "amp;"
	case '\'':
		return "apos;"
	case '(':
		return "lpar;"
	case ')':
		return "rpar;"
	case '*':
		return "ast;"
	case '+':
		return "plus;"
	case ',':
		return "comma;"
	case '.':
		return "period;"
	case '/':
		return "sol;"
	case ':':
		return "colon;"
	case ';':
		return "semi;"
	case '<':
		return "lt;"
	case '=':
		return "equals;"
	case '>':
		return "gt;"
	case '?':
		return "quest;"
	case '@':
		return "commat;"
	case '[':
		return "lbrack;"
	case '\\':
		return "bsol;"
	case ']':
		return "rsqb;"
	case '^':
		return "Hat;"
	case '_':
		return "lowbar;"
	case '`':
		return "grave;"
	case '{':
		return "lbrace;"
	case '|':
		return "vert;"
	case '}':
		return "rcub;"
	}
	if i := int(r) - 0xa0; 0 <= i && i < len(latinNames) {
		return latinNames[i]
	}
	return ""
}

// otherName returns another name of r, which rest begins with, or "". One is of two
// letters, which PHP takes for a ligature.
func otherName(r rune, rest []byte) string {
	switch r {
	case '[':
		return "lsqb;"
	case ']':
		return "rbrack;"
	case '{':
		return "lcub;"
	case '|':
		return "verbar;"
	case '}':
		return "rbrace;"
	case 'f':
		if len(rest) > 1 && rest[1] == 'j' {
			return "fjlig;"
		}
	}
	return ""
}

// allNamed returns text with all that has a name in HTML 5 by its name, as PHP writes it.
func allNamed(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		entity := name(r)
		if strings.HasPrefix(text[i:], "fj") {
			entity, n = "fjlig;", len("fj")
		}
		if entity != "" {
			b.WriteByte('&')
			b.WriteString(entity)
		} else {
			b.WriteString(text[i : i+n])
		}
		i += n
	}
	return b.String()
}
