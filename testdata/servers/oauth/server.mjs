// An OAuth 2 authorization server for tests: oidc-provider, with one client that
// may use client_credentials, and a switch that makes its token endpoint fail.
//
// Environment:
//   PORT           port on 127.0.0.1
//   ISSUER         issuer, http://127.0.0.1:PORT unless given
//   CLIENT_ID      the client, and
//   CLIENT_SECRET  its secret, by client_secret_basic or client_secret_post
//   RESOURCE       the resource indicator (RFC 8707) it gives JWT access tokens for
//   SCOPE          scopes of that resource, "read write" unless given
//   TOKEN_TTL      life of an access token in seconds, 60 unless given
//   MODULES        the node_modules folder that holds oidc-provider
//
// Prints "ready" on a line of its own when it listens.
//
// Control, for tests only: POST /control/fail?status=500, /control/stall and
// /control/heal say what the token endpoint does from then on; GET
// /control/requests tells how many token requests came, failed ones included.
import { generateKeyPairSync } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { Fault } from './fault.mjs';

// The modules are in the cache and not beside this file, where import looks.
const modules = createRequire(join(required('MODULES'), 'oauth.js'));
const { errors, Provider } = await import(pathToFileURL(modules.resolve('oidc-provider')));

const port = Number(required('PORT'));
const issuer = process.env.ISSUER || `http://127.0.0.1:${port}`;
const resource = required('RESOURCE');
const scope = process.env.SCOPE || 'read write';
const ttl = Number(process.env.TOKEN_TTL || 60);

const provider = new Provider(issuer, {
  clients: [client()],
  jwks: { keys: [signingKey()] },
  scopes: scope.split(' '),
  ttl: { ClientCredentials: ttl },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: { enabled: true, getResourceServerInfo },
  },
});

const fault = new Fault();
provider.use((ctx, next) => fault.handle(ctx, next));
provider.listen(port, '127.0.0.1', () => console.log('ready'));

function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`environment: ${name} is not set`);
  return value;
}

// The provider takes the secret by either method from a client of this kind.
function client() {
  return {
    client_id: required('CLIENT_ID'),
    client_secret: required('CLIENT_SECRET'),
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    scope,
    token_endpoint_auth_method: 'client_secret_basic',
  };
}

function signingKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: 'test', use: 'sig', alg: 'RS256' };
}

function getResourceServerInfo(ctx, indicator) {
  if (indicator !== resource) throw new errors.InvalidTarget();
  return {
    audience: resource,
    scope,
    accessTokenFormat: 'jwt',
    accessTokenTTL: ttl,
    jwt: { sign: { alg: 'RS256' } },
  };
}
