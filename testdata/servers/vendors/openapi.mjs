// GitHub's own description of its API: the operation that a request is for, without references.
// It is an error where there is none, or more than one. Where the description has no example of
// an answer, one is made of the answer's schema, with filler as each text; null is for an answer
// without a body.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export function describe(modules, { method, path, filler }) {
  const folder = dirname(modules.resolve('@octokit/openapi/package.json'));
  const whole = JSON.parse(readFileSync(join(folder, 'generated', 'api.github.com.json')));
  const at = Object.keys(whole.paths).filter((template) => fits(template, path) && whole.paths[template][method]);
  if (at.length !== 1) throw new Error(`GitHub describes ${at.length} operations for ${method} ${path}`);
  const operation = resolved(whole, whole.paths[at[0]][method]);
  const answers = {};
  for (const [status, answer] of Object.entries(operation.responses)) {
    const { schema, examples } = answer.content?.['application/json'] ?? {};
    answers[status] = Object.values(examples ?? {})[0]?.value ?? (schema ? filled(schema, filler) : null);
  }
  return { request: operation.requestBody?.content['application/json'], answers };
}

// fits tells whether path is one of template, which has parameters as whole segments.
function fits(template, path) {
  const segments = path.split('/');
  const wanted = template.split('/');
  return wanted.length === segments.length && wanted.every((segment, i) => segment === segments[i] || segment.startsWith('{'));
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
