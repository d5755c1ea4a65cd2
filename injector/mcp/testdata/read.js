'use strict';
// Reads a body a line, in base64, and writes a line that says what JSON.parse
// makes of it: {"messages":[…]} with the canonical form (see reading_test.go)
// of each value that says what is called, or {"refused":true}.
//
// It decodes the body as fetch does, which takes a byte order mark away, and it
// reads the values from copies made by assignment, as many servers do: what is
// said of __proto__ becomes what the copy inherits.

const text = (s) => Buffer.from(s, 'utf8').toString('hex');

function number(n) {
  const bits = Buffer.alloc(8);
  bits.writeDoubleBE(n + 0); // -0 is 0
  return '#' + bits.toString('hex');
}

function canonical(v) {
  if (v === null) return 'n';
  if (typeof v === 'boolean') return v ? 't' : 'f';
  if (typeof v === 'number') return number(v);
  if (typeof v === 'string') return 's' + text(v);
  if (Array.isArray(v)) return '[' + v.map(canonical).join(',') + ']';
  return '{' + Object.keys(v).map((k) => text(k) + ':' + canonical(v[k])).sort().join(',') + '}';
}

const object = (v) => (v !== null && typeof v === 'object' && !Array.isArray(v) ? Object.assign({}, v) : {});

function reading(m) {
  if (m === null || typeof m !== 'object' || Array.isArray(m)) throw new Error('no object');
  const r = { whole: canonical(m) };
  const add = (from, names) => {
    for (const [name, as] of Object.entries(names)) {
      if (from[name] !== undefined) r[as] = canonical(from[name]);
    }
  };
  const top = object(m);
  const params = object(top.params);
  add(top, { jsonrpc: 'jsonrpc', id: 'id', method: 'method', result: 'result', error: 'error' });
  add(params, { name: 'name', uri: 'uri', taskId: 'taskId', arguments: 'arguments', protocolVersion: 'initialize' });
  add(object(params._meta), { 'io.modelcontextprotocol/protocolVersion': 'version' });
  add(object(params.ref), { type: 'refType', name: 'refName', uri: 'refURI' });
  return r;
}

function read(body) {
  try {
    const v = JSON.parse(new TextDecoder().decode(body));
    return { messages: (Array.isArray(v) ? v : [v]).map(reading) };
  } catch (e) {
    return { refused: true };
  }
}

require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  process.stdout.write(JSON.stringify(read(Buffer.from(line, 'base64'))) + '\n');
});
