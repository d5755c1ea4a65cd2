// What the client of the TypeScript SDK learns of the MCP server at a URL before
// it has a token: where its metadata is, and what that says, found by what a 401
// names and by the well-known path alone. Prints both as JSON.
//
//   discover.mjs URL
//
// Environment: MODULES, the node_modules folder that holds the SDK.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const modules = createRequire(join(process.env.MODULES, 'discover.js'));
const { extractWWWAuthenticateParams, discoverOAuthProtectedResourceMetadata } =
  await import(pathToFileURL(modules.resolve('@modelcontextprotocol/sdk/client/auth.js')));

const url = new URL(process.argv[2]);
const refused = await fetch(url, { method: 'POST', headers: { Authorization: 'Bearer made-up-token-of-the-client' } });
const { resourceMetadataUrl, error } = extractWWWAuthenticateParams(refused);
console.log(JSON.stringify({
  status: refused.status,
  error,
  challenge: refused.headers.get('WWW-Authenticate'),
  at: String(resourceMetadataUrl),
  named: await discoverOAuthProtectedResourceMetadata(url, { resourceMetadataUrl }),
  found: await discoverOAuthProtectedResourceMetadata(url),
}));
