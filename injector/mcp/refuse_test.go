package mcp_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"mintmark/injector/mcp"
)

// refused is a body that must not be read, and all that is said about it.
type refused struct {
	name, body string
	code       int
	says       string
}

// params returns a request of method with the members of its params.
func params(method, members string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{` + members + `}}`
}

// value returns a call with a value in its arguments.
func value(v string) string { return params("tools/call", `"name":"a","arguments":{"v":`+v+`}`) }

func TestReadRefuses(t *testing.T) {
	ping := func(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,"method":"ping"}` }
	const (
		idType  = `expected "id" to be a string or an integer between -(2^53-1) and 2^53-1, got `
		refType = `expected "ref" to be of type "ref/prompt" with a "name", or of type "ref/resource" with a "uri", got type `
		ascii   = `expected a name of printable ASCII, got `
		another = `, which some servers read as another`
		same    = `, which some servers read as the same`
		ranged  = `expected numbers in the range of a 64-bit float, got one out of it at byte `
		answer  = `expected an answer to have an "id" and either "result" or "error"`
	)
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	run(t, []refused{
		// The body as a whole.
		{"empty", ``, mcp.CodeParse, `expected a JSON-RPC message, got an empty body`},
		{"white space", " \t\r\n", mcp.CodeParse, `expected a JSON-RPC message, got an empty body`},
		{"truncated", ping("1")[:20], mcp.CodeParse, `expected valid JSON, got a fault at byte 20 (unexpected EOF)`},
		{"truncated in a string", `{"jsonrpc":"2`, mcp.CodeParse, `expected valid JSON, got a fault at byte 13 (unexpected EOF)`},
		{"no JSON", `hello`, mcp.CodeParse, `expected valid JSON, got a fault at byte 0 (invalid character 'h' at start of value)`},
		{"no JSON that begins as null does", `not json`, mcp.CodeParse, `expected valid JSON, got a fault at byte 1 (invalid character 'o' in literal null (expecting 'u'))`},
		{"single quotes", `{'jsonrpc':'2.0'}`, mcp.CodeParse, `expected valid JSON, got a fault at byte 1 (invalid character '\'' at start of value)`},
		{"comment", `/**/` + ping("1"), mcp.CodeParse, `expected valid JSON, got a fault at byte 0 (invalid character '/' at start of value)`},
		{"trailing comma", `{"jsonrpc":"2.0","id":1,"method":"ping",}`, mcp.CodeParse, `expected valid JSON, got a fault at byte 39 (invalid character ',' at start of value)`},
		{"second message", ping("1") + ping("2"), mcp.CodeParse, `expected the end of the body after the message, got more data at byte 41`},
		{"trailing word", ping("1") + "x", mcp.CodeParse, `expected the end of the body after the message, got more data at byte 40`},
		{"trailing brace", ping("1") + "}", mcp.CodeParse, `expected the end of the body after the message, got more data at byte 40`},
		{"trailing comma after", ping("1") + ",", mcp.CodeParse, `expected the end of the body after the message, got more data at byte 40`},
		{"trailing NUL", ping("1") + "\x00", mcp.CodeParse, `expected the end of the body after the message, got more data at byte 40`},
		{"byte order mark", "\ufeff" + ping("1"), mcp.CodeParse, `expected valid JSON, got a fault at byte 0 (invalid character '\ufeff' at start of value)`},
		{"byte order mark after", ping("1") + "\ufeff", mcp.CodeParse, `expected the end of the body after the message, got more data at byte 40`},
		{"UTF-16 with a byte order mark", "\xff\xfe{\x00}\x00", mcp.CodeParse, `expected valid JSON, got a fault at byte 0 (invalid character '\xff' at start of value)`},
		{"UTF-16", "{\x00\"\x00}\x00", mcp.CodeParse, `expected valid JSON, got a fault at byte 1 (invalid character '\x00' at start of value)`},
		{"UTF-32", "\x00\x00\x00{\x00\x00\x00}", mcp.CodeParse, `expected valid JSON, got a fault at byte 0 (invalid character '\x00' at start of value)`},
		{"no-break space", "\u00a0", mcp.CodeParse, `expected valid JSON, got a fault at byte 0 (invalid character '\u00a0' at start of value)`},
		{"no-break space before", "\u00a0" + ping("1"), mcp.CodeParse, `expected valid JSON, got a fault at byte 0 (invalid character '\u00a0' at start of value)`},
		{"vertical tab before", "\v" + ping("1"), mcp.CodeParse, `expected valid JSON, got a fault at byte 0 (invalid character '\v' at start of value)`},
		{"form feed after", ping("1") + "\f", mcp.CodeParse, `expected the end of the body after the message, got more data at byte 40`},
		{"next line after", ping("1") + "\u0085", mcp.CodeParse, `expected the end of the body after the message, got more data at byte 40`},
		{"line separator within", "{\u2028\"jsonrpc\":\"2.0\"}", mcp.CodeParse, `expected valid JSON, got a fault at byte 1 (invalid character '\u2028' at start of value)`},
		{"scalar", `1`, mcp.CodeInvalidRequest, `expected a JSON object, got a number`},
		{"string", `"ping"`, mcp.CodeInvalidRequest, `expected a JSON object, got a string`},
		{"null", `null`, mcp.CodeInvalidRequest, `expected a JSON object, got null`},
		{"batch", `[` + ping("1") + `]`, mcp.CodeInvalidRequest, `expected one JSON-RPC message, got a batch (an array); send each message in its own POST`},
		{"too deep", params("tools/call", `"name":"a","arguments":`+deep), mcp.CodeParse, `expected nesting of at most 64 levels, got more at byte 141`},
		{"too deep without an end", strings.Repeat("[", 1e6), mcp.CodeParse, `expected nesting of at most 64 levels, got more at byte 64`},

		// Names.
		{"duplicate method", `{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}`, mcp.CodeParse, `expected each name once, got "/method" twice`},
		{"duplicate through an escape", `{"jsonrpc":"2.0","id":1,"method":"ping","\u006dethod":"x"}`, mcp.CodeParse, `expected each name once, got "/method" twice`},
		{"duplicate params", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{},"params":{}}`, mcp.CodeParse, `expected each name once, got "/params" twice`},
		{"duplicate tool", params("tools/call", `"name":"a","name":"b"`), mcp.CodeParse, `expected each name once, got "/params/name" twice`},
		{"duplicate that is not read", `{"jsonrpc":"2.0","id":1,"method":"ping","x":1,"x":1}`, mcp.CodeParse, `expected each name once, got "/x" twice`},
		{"duplicate deep in the arguments", value(`[{"y":1,"y":2}]`), mcp.CodeParse, `expected each name once, got "/params/arguments/v/0/y" twice`},
		{"duplicate deep in an answer", `{"jsonrpc":"2.0","id":1,"result":{"a":[{"b":1,"b":2}]}}`, mcp.CodeParse, `expected each name once, got "/result/a/0/b" twice`},
		{"other case of method", `{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}`, mcp.CodeInvalidRequest, `expected the name "method", got "Method"` + same},
		{"other case alone", `{"jsonrpc":"2.0","id":1,"METHOD":"ping"}`, mcp.CodeInvalidRequest, `expected the name "method", got "METHOD"` + same},
		{"other case through an escape", `{"jsonrpc":"2.0","id":1,"\u004dethod":"ping"}`, mcp.CodeInvalidRequest, `expected the name "method", got "Method"` + same},
		{"other case of jsonrpc", `{"jsonRPC":"2.0","id":1,"method":"ping"}`, mcp.CodeInvalidRequest, `expected the name "jsonrpc", got "jsonRPC"` + same},
		{"other case of name", params("tools/call", `"name":"a","Name":"b"`), mcp.CodeInvalidRequest, `expected the name "name", got "Name"` + same},
		{"other case of arguments", params("tools/call", `"name":"a","Arguments":{}`), mcp.CodeInvalidRequest, `expected the name "arguments", got "Arguments"` + same},
		{"other case of the version", params("ping", `"_meta":{"io.modelcontextprotocol/ProtocolVersion":"2026-07-28"}`), mcp.CodeInvalidRequest, `expected the name "io.modelcontextprotocol/protocolVersion", got "io.modelcontextprotocol/ProtocolVersion"` + same},
		{"other case of ref's type", params("completion/complete", `"ref":{"Type":"ref/prompt","name":"a"}`), mcp.CodeInvalidRequest, `expected the name "type", got "Type"` + same},
		{"other case of the error's code", `{"jsonrpc":"2.0","id":1,"error":{"code":1,"Code":2,"message":""}}`, mcp.CodeInvalidRequest, `expected the name "code", got "Code"` + same},
		{"snake case", params("tasks/get", `"taskId":"a","task_id":"b"`), mcp.CodeInvalidRequest, `expected the name "taskId", got "task_id"` + same},
		{"kebab case", params("tasks/get", `"taskId":"a","task-id":"b"`), mcp.CodeInvalidRequest, `expected the name "taskId", got "task-id"` + same},
		{"without its underscore", params("ping", `"meta":{}`), mcp.CodeInvalidRequest, `expected the name "_meta", got "meta"` + same},
		{"folded by long s", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"re\u017fult\":1}", mcp.CodeInvalidRequest, ascii + `"re\u017fult"` + another},
		{"folded by the Kelvin sign", params("tasks/get", `"taskId":"a","tas`+"\u212a"+`Id":"b"`), mcp.CodeInvalidRequest, ascii + `"tas\u212aId"` + another},
		{"full width", params("tools/call", `"name":"a","ｎａｍｅ":"b"`), mcp.CodeInvalidRequest, ascii + `"\uff4e\uff41\uff4d\uff45"` + another},
		{"zero width", params("tools/call", `"name":"a","name`+"\u200b"+`":"b"`), mcp.CodeInvalidRequest, ascii + `"name\u200b"` + another},
		{"byte order mark in a name", "{\"\ufeffjsonrpc\":\"2.0\"}", mcp.CodeInvalidRequest, ascii + `"\ufeffjsonrpc"` + another},
		{"name that ends at a NUL", `{"jsonrpc":"2.0","id":1,"method":"ping","method\u0000":"x"}`, mcp.CodeInvalidRequest, ascii + `"method\x00"` + another},
		{"line break in a name", params("tools/call", `"name":"a","name\n":"b"`), mcp.CodeInvalidRequest, ascii + `"name\n"` + another},
		{"DEL in a name", params("tools/call", `"name":"a","name`+"\x7f"+`":"b"`), mcp.CodeInvalidRequest, ascii + `"name\x7f"` + another},
		{"long name that is not ASCII", params("ping", `"`+strings.Repeat("é", 100)+`":1`), mcp.CodeInvalidRequest, ascii + `"` + strings.Repeat(`\u00e9`, 32) + `\u2026"` + another},
		{"long name joined otherwise", params("tools/call", `"name":"a","na`+strings.Repeat("_", 200)+`me":"b"`), mcp.CodeInvalidRequest, `expected the name "name", got "na` + strings.Repeat("_", 126) + `…"` + same},
		{"long duplicate", value(`{"` + strings.Repeat("x", 500) + `":1,"` + strings.Repeat("x", 500) + `":1}`), mcp.CodeParse, `expected each name once, got "/params/arguments/v/` + strings.Repeat("x", 236) + `…" twice`},
		{"__proto__", params("tools/call", `"name":"a","__proto__":{"arguments":{}}`), mcp.CodeInvalidRequest, `expected no name "__proto__", which some servers read as what an object inherits`},
		{"__proto__ through an escape", `{"jsonrpc":"2.0","id":1,"method":"ping","\u005f_proto__":{}}`, mcp.CodeInvalidRequest, `expected no name "__proto__", which some servers read as what an object inherits`},
		{"constructor", params("ping", `"_meta":{"constructor":{"prototype":{}}}`), mcp.CodeInvalidRequest, `expected no name "constructor", which some servers read as what an object inherits`},

		// Strings.
		{"invalid UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\xff\"}", mcp.CodeParse, `expected valid JSON, got a fault at byte 35 (invalid UTF-8)`},
		{"invalid UTF-8 in the arguments", value("\"\xc3\x28\""), mcp.CodeParse, `expected valid JSON, got a fault at byte 85 (invalid UTF-8)`},
		{"invalid UTF-8 in a name", value("{\"\xe2\x82\":1}"), mcp.CodeParse, `expected valid JSON, got a fault at byte 86 (invalid UTF-8)`},
		{"overlong UTF-8", value("\"\xc0\xae\""), mcp.CodeParse, `expected valid JSON, got a fault at byte 85 (invalid UTF-8)`},
		{"surrogate in UTF-8", value("\"\xed\xa0\x80\""), mcp.CodeParse, `expected valid JSON, got a fault at byte 85 (invalid UTF-8)`},
		{"lone high surrogate", `{"jsonrpc":"2.0","id":1,"method":"\ud800"}`, mcp.CodeParse, "expected valid JSON, got a fault at byte 34 (invalid surrogate pair `\\ud800\"}` in string)"},
		{"lone low surrogate in the arguments", value(`"\udc00"`), mcp.CodeParse, "expected valid JSON, got a fault at byte 85 (invalid surrogate pair `\\udc00\"}}}` in string)"},
		{"surrogates in the wrong order", value(`"\ude00\ud83d"`), mcp.CodeParse, "expected valid JSON, got a fault at byte 85 (invalid surrogate pair `\\ude00\\ud83d` in string)"},
		{"lone surrogate in a name", value(`{"\ud800":1}`), mcp.CodeParse, "expected valid JSON, got a fault at byte 86 (invalid surrogate pair `\\ud800\":1}}}` in string)"},
		{"raw line break in a string", value("\"a\nb\""), mcp.CodeParse, `expected valid JSON, got a fault at byte 86 (invalid character '\n' in string (expecting non-control character))`},
		{"raw NUL in a string", value("\"a\x00b\""), mcp.CodeParse, `expected valid JSON, got a fault at byte 86 (invalid character '\x00' in string (expecting non-control character))`},
		{"unknown escape", value(`"\x41"`), mcp.CodeParse, "expected valid JSON, got a fault at byte 85 (invalid escape sequence `\\x` in string)"},
		{"short escape", value(`"\u004"`), mcp.CodeParse, "expected valid JSON, got a fault at byte 85 (invalid escape sequence `\\u004\"` in string)"},
		{"NUL in a tool", params("tools/call", `"name":"a\u0000b"`), mcp.CodeInvalidParams, `expected names without control characters, got one in the method or its tool`},
		{"next line in a resource", params("resources/read", `"uri":"a\u0085b"`), mcp.CodeInvalidParams, `expected names without control characters, got one in the method or its resource`},
		{"line break in the method", `{"jsonrpc":"2.0","id":1,"method":"ping\n"}`, mcp.CodeInvalidParams, `expected names without control characters, got one in the method or its upstream`},
		{"long method", `{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("x", 257) + `"}`, mcp.CodeInvalidRequest, `expected "/method" to be at most 256 bytes long, got 257`},
		{"long tool", params("tools/call", `"name":"`+strings.Repeat("x", 4097)+`"`), mcp.CodeInvalidRequest, `expected "/params/name" to be at most 4096 bytes long, got 4097`},

		// Numbers.
		{"id fraction", ping("1.5"), mcp.CodeInvalidRequest, idType + `a number`},
		{"id whole fraction", ping("1.0"), mcp.CodeInvalidRequest, idType + `a number`},
		{"id exponent", ping("1e3"), mcp.CodeInvalidRequest, idType + `a number`},
		{"id minus zero", ping("-0"), mcp.CodeInvalidRequest, idType + `a number`},
		{"id that floats round", ping("9007199254740993"), mcp.CodeInvalidRequest, idType + `a number`},
		{"id 2^53", ping("9007199254740992"), mcp.CodeInvalidRequest, idType + `a number`},
		{"id over 64 bits", ping("18446744073709551617"), mcp.CodeInvalidRequest, idType + `a number`},
		{"id of a sixteenth digit", ping("9999999999999999"), mcp.CodeInvalidRequest, idType + `a number`},
		{"id with a zero before", ping("01"), mcp.CodeParse, `expected valid JSON, got a fault at byte 23 (invalid character '1' after object value (expecting ',' or '}'))`},
		{"id with a plus", ping("+1"), mcp.CodeParse, `expected valid JSON, got a fault at byte 22 (invalid character '+' at start of value)`},
		{"id in hex", ping("0x1"), mcp.CodeParse, `expected valid JSON, got a fault at byte 23 (invalid character 'x' after object value (expecting ',' or '}'))`},
		{"id out of range", ping("1e400"), mcp.CodeParse, ranged + `22`},
		{"NaN", value(`NaN`), mcp.CodeParse, `expected valid JSON, got a fault at byte 84 (invalid character 'N' at start of value)`},
		{"Infinity", value(`-Infinity`), mcp.CodeParse, `expected valid JSON, got a fault at byte 85 (invalid character 'I' in number (expecting digit))`},
		{"infinite", value(`1e400`), mcp.CodeParse, ranged + `84`},
		{"infinite below", value(`[0,-1E+400]`), mcp.CodeParse, ranged + `87`},
		{"just infinite", value(`1.7976931348623159e308`), mcp.CodeParse, ranged + `84`},
		{"infinite by its digits", value(strings.Repeat("9", 400)), mcp.CodeParse, ranged + `84`},
		{"infinite in an answer", `{"jsonrpc":"2.0","id":1,"result":{"x":1e999}}`, mcp.CodeParse, ranged + `38`},
		{"infinite for a Python of many digits", value("1e99999999999999999999"), mcp.CodeParse, ranged + `84`},
		{"zero that is not", value(`1e-400`), mcp.CodeParse, ranged + `84`},
		{"zero that is not, by its digits", value("0." + strings.Repeat("0", 400) + "1"), mcp.CodeParse, ranged + `84`},

		// What a message has to be.
		{"no jsonrpc", `{"id":1,"method":"ping"}`, mcp.CodeInvalidRequest, `expected a member "jsonrpc" with the value "2.0", got none`},
		{"jsonrpc 1", `{"jsonrpc":"1.0","id":1,"method":"ping"}`, mcp.CodeInvalidRequest, `expected "jsonrpc" to be "2.0", got "1.0"`},
		{"jsonrpc a number", `{"jsonrpc":2.0,"id":1,"method":"ping"}`, mcp.CodeInvalidRequest, `expected "/jsonrpc" to be a string, got a number`},
		{"id null", ping("null"), mcp.CodeInvalidRequest, idType + `null`},
		{"id true", ping("true"), mcp.CodeInvalidRequest, idType + `a boolean`},
		{"id an object", ping("{}"), mcp.CodeInvalidRequest, idType + `an object`},
		{"id too long", ping(`"` + strings.Repeat("x", 127) + `"`), mcp.CodeInvalidRequest, `expected "id" to be at most 128 bytes long, got 129`},
		{"no method", `{"jsonrpc":"2.0","id":1}`, mcp.CodeInvalidRequest, `expected a member "method", got none`},
		{"empty method", `{"jsonrpc":"2.0","id":1,"method":""}`, mcp.CodeInvalidRequest, `expected "method" to name a method, got an empty string`},
		{"method null", `{"jsonrpc":"2.0","id":1,"method":null}`, mcp.CodeInvalidRequest, `expected "/method" to be a string, got null`},
		{"method an array", `{"jsonrpc":"2.0","id":1,"method":["ping"]}`, mcp.CodeInvalidRequest, `expected "/method" to be a string, got an array`},
		{"params an array", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["a"]}`, mcp.CodeInvalidRequest, `expected "/params" to be an object, got an array`},
		{"params null", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":null}`, mcp.CodeInvalidRequest, `expected "/params" to be an object, got null`},
		{"method and result", `{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}`, mcp.CodeInvalidRequest, `expected either "method" or "result"/"error", got both`},
		{"answer with params", `{"jsonrpc":"2.0","id":1,"result":{},"params":{}}`, mcp.CodeInvalidRequest, `expected an answer to have no "params", got some`},
		{"answer without an id", `{"jsonrpc":"2.0","result":{}}`, mcp.CodeInvalidRequest, answer},
		{"result and error", `{"jsonrpc":"2.0","id":1,"result":{},"error":{}}`, mcp.CodeInvalidRequest, answer},
		{"error null", `{"jsonrpc":"2.0","id":1,"error":null}`, mcp.CodeInvalidRequest, `expected "/error" to be an object, got null`},
		{"error without a code", `{"jsonrpc":"2.0","id":1,"error":{"message":"x"}}`, mcp.CodeInvalidRequest, `expected an "error" to have a "code" and a "message", got one without`},
		{"error without a message", `{"jsonrpc":"2.0","id":1,"error":{"code":1}}`, mcp.CodeInvalidRequest, `expected an "error" to have a "code" and a "message", got one without`},
		{"code a fraction", `{"jsonrpc":"2.0","id":1,"error":{"code":1.5,"message":""}}`, mcp.CodeInvalidRequest, `expected the error's "code" to be an integer between -(2^53-1) and 2^53-1, got a number`},
		{"message null", `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":null}}`, mcp.CodeInvalidRequest, `expected the error's "message" to be a string, got null`},
		{"version a number", params("ping", `"_meta":{"io.modelcontextprotocol/protocolVersion":20260728}`), mcp.CodeInvalidRequest, `expected "/params/_meta/io.modelcontextprotocol~1protocolVersion" to be a string, got a number`},
		{"version empty", params("ping", `"_meta":{"io.modelcontextprotocol/protocolVersion":""}`), mcp.CodeInvalidParams, `expected "/params/_meta/io.modelcontextprotocol~1protocolVersion" to be a protocol revision, got an empty string`},
		{"no tool", params("tools/call", ``), mcp.CodeInvalidParams, `expected tools/call to name its tool in "params", got none`},
		{"no params", `{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, mcp.CodeInvalidParams, `expected tools/call to name its tool in "params", got none`},
		{"tool a number", params("tools/call", `"name":3`), mcp.CodeInvalidParams, `expected tools/call to name its tool in "params", got none`},
		{"tool in a list", params("tools/call", `"name":["a"]`), mcp.CodeInvalidParams, `expected tools/call to name its tool in "params", got none`},
		{"prompt by its title", params("prompts/get", `"title":"a"`), mcp.CodeInvalidParams, `expected prompts/get to name its prompt in "params", got none`},
		{"resource by its name", params("resources/read", `"name":"a"`), mcp.CodeInvalidParams, `expected resources/read to name its resource in "params", got none`},
		{"no task", params("tasks/cancel", ``), mcp.CodeInvalidParams, `expected tasks/cancel to name its task in "params", got none`},
		{"completion of two targets", params("completion/complete", `"ref":{"type":"ref/prompt","name":"p","uri":"u"}`), mcp.CodeInvalidParams, `expected "ref" to have either "name" or "uri", got both`},
		{"completion of a prompt by type and a resource by name", params("completion/complete", `"ref":{"type":"ref/prompt","uri":"u"}`), mcp.CodeInvalidParams, refType + `"ref/prompt"`},
		{"completion of a resource by type and a prompt by name", params("completion/complete", `"ref":{"type":"ref/resource","name":"p"}`), mcp.CodeInvalidParams, refType + `"ref/resource"`},
		{"completion of another type", params("completion/complete", `"ref":{"type":"ref/tool","name":"p"}`), mcp.CodeInvalidParams, refType + `"ref/tool"`},
		{"completion of nothing", params("completion/complete", ``), mcp.CodeInvalidParams, refType + `""`},
		{"completion without a name", params("completion/complete", `"ref":{"type":"ref/prompt"}`), mcp.CodeInvalidParams, `expected completion/complete to name its prompt in "params", got none`},
	}, func(r *mcp.Reader, body []byte) error {
		got, err := r.Read(body)
		if err != nil && (got.Kind != mcp.None || got.Method != "" || got.Raw != nil) {
			t.Errorf("got a message with the error: %+v", got)
		}
		return err
	})
}

func TestReadBatchRefuses(t *testing.T) {
	ping := func(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,"method":"ping"}` }
	const answer = `{"jsonrpc":"2.0","id":1,"result":{}}`
	many := strings.Repeat(`{"jsonrpc":"2.0","method":"notifications/x"},`, 100)
	run(t, []refused{
		{"empty", ` `, mcp.CodeParse, `expected a JSON-RPC message, got an empty body`},
		{"one message", ping("1"), mcp.CodeInvalidRequest, `expected a batch (an array), got an object`},
		{"no message", `[ ]`, mcp.CodeInvalidRequest, `expected a batch of at least one message, got none`},
		{"truncated", `[` + ping("1"), mcp.CodeParse, `message 2 of the batch: expected valid JSON, got a fault at byte 41 (unexpected EOF)`},
		{"trailing comma", `[` + ping("1") + `,]`, mcp.CodeParse, `message 2 of the batch: expected valid JSON, got a fault at byte 41 (invalid character ',' at start of value)`},
		{"no comma", `[` + ping("1") + ping("2") + `]`, mcp.CodeParse, `message 2 of the batch: expected valid JSON, got a fault at byte 41 (invalid character '{' after array element (expecting ',' or ']'))`},
		{"second batch", `[` + ping("1") + `][` + ping("2") + `]`, mcp.CodeParse, `expected the end of the body after the message, got more data at byte 43`},
		{"number", `[` + ping("1") + `,2]`, mcp.CodeInvalidRequest, `message 2 of the batch: expected a JSON object, got a number`},
		{"batch within", `[` + ping("1") + `,[` + ping("2") + `]]`, mcp.CodeInvalidRequest, `message 2 of the batch: expected one JSON-RPC message, got a batch (an array); send each message in its own POST`},
		{"too many", `[` + many + ping("1") + `]`, mcp.CodeInvalidRequest, `expected a batch of at most 100 messages, got more`},
		{"too deep", `[` + strings.Repeat("[", 64), mcp.CodeParse, `expected nesting of at most 64 levels, got more at byte 64`},
		{"number out of range", `[` + value("1e400") + `]`, mcp.CodeParse, `expected numbers in the range of a 64-bit float, got one out of it at byte 85`},
		{"duplicate in a later message", `[` + ping("1") + `,` + params("tools/call", `"name":"a","name":"b"`) + `]`, mcp.CodeParse, `message 2 of the batch: expected each name once, got "/1/params/name" twice`},
		{"other case in a later message", `[` + ping("1") + `,` + params("tools/call", `"name":"a","Name":"b"`) + `]`, mcp.CodeInvalidRequest, `message 2 of the batch: expected the name "name", got "Name", which some servers read as the same`},
		{"no tool in a later message", `[` + ping("0") + `,` + params("tools/call", ``) + `]`, mcp.CodeInvalidParams, `message 2 of the batch: expected tools/call to name its tool in "params", got none`},
		{"initialize", `[` + ping("1") + `,{"jsonrpc":"2.0","id":2,"method":"initialize","params":{}}]`, mcp.CodeInvalidRequest, `message 2 of the batch: expected "initialize" in its own POST, got it in a batch`},
		{"of a later revision", `[` + params("tools/list", `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}`) + `]`, mcp.CodeInvalidRequest, `message 1 of the batch: expected messages of revision 2025-03-26 in a batch, got one of revision "2026-07-28"`},
		{"id twice", `[` + ping("1") + `,` + ping("1") + `]`, mcp.CodeInvalidRequest, `message 2 of the batch: expected each "id" once in a batch, got 1 twice`},
		{"id twice through an escape", `[` + ping(`"a"`) + `,` + ping(`"\u0061"`) + `]`, mcp.CodeInvalidRequest, `message 2 of the batch: expected each "id" once in a batch, got "\u0061" twice`},
		{"id as number and string", `[` + ping("1") + `,` + ping(`"1"`) + `]`, mcp.CodeInvalidRequest, `message 2 of the batch: expected each "id" once in a batch, got "1" twice`},
		{"answer among requests", `[` + ping("2") + `,` + answer + `]`, mcp.CodeInvalidRequest, `message 2 of the batch: expected a batch of answers, or one of requests and notifications, got both`},
		{"request among answers", `[` + answer + `,` + ping("2") + `]`, mcp.CodeInvalidRequest, `message 2 of the batch: expected a batch of answers, or one of requests and notifications, got both`},
	}, func(r *mcp.Reader, body []byte) error {
		got, err := r.ReadBatch(body)
		if err != nil && got != nil {
			t.Errorf("got messages with the error: %+v", got)
		}
		return err
	})
}

// run holds what read says about each body against the whole text it should.
func run(t *testing.T, cases []refused, read func(*mcp.Reader, []byte) error) {
	t.Helper()
	r := mcp.NewReader(64)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := read(r, []byte(c.body))
			e, ok := errors.AsType[*mcp.Error](err)
			if !ok {
				t.Fatalf("got %v, want an *mcp.Error", err)
			}
			if e.Code != c.code || e.Status != http.StatusBadRequest || e.Message != c.says {
				t.Errorf("\n got %d, %d, %s\nwant %d, %d, %s", e.Code, e.Status, e.Message, c.code, http.StatusBadRequest, c.says)
			}
		})
	}
}
