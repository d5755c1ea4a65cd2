// GitHub's own description of its API: one operation of it, without references. Where it has
// no example of an answer, one is made of the answer's schema, with filler as each text.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export function describe(modules, { method, path, filler }) {
  const folder = dirname(modules.resolve('@octokit/openapi/package.json'));
  const whole = JSON.parse(readFileSync(join(folder, 'generated', 'api.github.com.json')));
  const operation = resolved(whole, whole.paths[path][method]);
  const answers = {};
  for (const [status, answer] of Object.entries(operation.responses)) {
    const { schema, examples } = answer.content?.['application/json'] ?? {};
    answers[status] = Object.values(examples ?? {})[0]?.value ?? (schema && filled(schema, filler));
  }
  return { request: operation.requestBody?.content['application/json'], answers };
}

function resolved(whole, part) {
  if (part?.$ref) return resolved(whole, part.$ref.split('/').slice(1).reduce((at, name) => at[name], whole));
  if (Array.isArray(part)) return part.map((each) => resolved(whole, each));
  if (part === null || typeof part !== 'object') return part;
  return Object.fromEntries(Object.entries(part).map(([name, each]) => [name, resolved(whole, each)]));
}

function filled(schema, filler) {
  if (schema.oneOf) return filled(schema.oneOf[0], filler);
  switch (schema.type) {
    case 'object':
      return Object.fromEntries(Object.entries(schema.properties).map(([name, each]) => [name, filled(each, filler)]));
    case 'array':
      return [filled(schema.items, filler)];
    case 'string':
      return filler;
    default:
      return 0;
  }
}
