// An OAuth 2 authorization server for tests: oidc-provider, with one client that
// has a secret and, where keys are given, one of the same name and "-key" that has
// those, and a switch that makes its token endpoint fail.
//
// Environment:
//   PORT           port on 127.0.0.1
//   ISSUER         issuer, http://127.0.0.1:PORT unless given
//   CLIENT_ID      the client, and
//   CLIENT_SECRET  its secret, by client_secret_basic or client_secret_post
//   RESOURCE       the resource indicator (RFC 8707) it gives JWT access tokens for
//   SCOPE          scopes of that resource, "read write" unless given
//   TOKEN_TTL      life of an access token in seconds, 60 unless given
//   KEYS           public keys (a list of JWKs) of the second client, and of who may
//                  make assertions for token exchange and jwt-bearer
//   ASSERTION_ISSUER  whose assertions are taken, anybody's of those keys unless given
//   DPOP_NONCE     proofs of possession must hold a nonce of the server, if not empty
//   CLIENTS        more clients: a list of their metadata (RFC 7591), without what all have
//   MTLS           to serve TLS too that asks for a certificate: its port, certificate and
//                  key (PEM), and the roots of tls_client_auth, as JSON
//   SVIDS          for one more client, of jwt-spiffe: its SPIFFE ID and the path of the
//                  trust bundle, as JSON
//   MODULES        the node_modules folder that holds oidc-provider
//
// Prints "ready" on a line of its own when it listens.
//
// Control, for tests only: POST /control/fail?status=500, /control/stall and
// /control/heal say what the token endpoint does from then on; GET
// /control/requests tells how many token requests came, failed ones included, and why
// the last one that was refused was. POST
// /control/grant makes a refresh token of the client for its resource, or with
// ?for=user for what /me says of the user, and with &client= of another client.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { Fault } from './fault.mjs';
import { Grants, grantTypes } from './grants.mjs';
import * as mtls from './mtls.mjs';
import { SVIDs } from './spiffe.mjs';

// The modules are in the cache and not beside this file, where import looks.
const modules = createRequire(join(required('MODULES'), 'oauth.js'));
const { errors, Provider } = await import(pathToFileURL(modules.resolve('oidc-provider')));
const jose = await import(pathToFileURL(modules.resolve('jose')));

const port = Number(required('PORT'));
const issuer = process.env.ISSUER || `http://127.0.0.1:${port}`;
const resource = required('RESOURCE');
const scope = process.env.SCOPE || 'read write';
const ttl = Number(process.env.TOKEN_TTL || 60);
const keys = JSON.parse(process.env.KEYS || '[]');
const tls = JSON.parse(process.env.MTLS || 'null');
const svids = process.env.SVIDS ? new SVIDs({ jose, issuer, ...JSON.parse(process.env.SVIDS) }) : null;

const provider = new Provider(issuer, {
  clients: clients(),
  clientAuthMethods: [
    'client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none', ...(tls ? ['tls_client_auth', 'self_signed_tls_client_auth'] : []),
  ],
  discovery: tls ? { mtls_endpoint_aliases: mtls.aliases(`https://127.0.0.1:${tls.port}`) } : {},
  jwks: { keys: [signingKey()] },
  scopes: [...scope.split(' '), 'openid', 'offline_access'], // which makes the grant refresh_token known
  ttl: { ClientCredentials: ttl, AccessToken: ttl, RefreshToken: 3600, Grant: 3600 },
  rotateRefreshToken: true,
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  formats: { customizers: { jwt: (ctx, token, parts) => { Object.assign(parts.payload, ctx?.state?.claims); } } },
  features: {
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => Boolean(process.env.DPOP_NONCE) },
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    mTLS: tls ? mtls.feature : {},
    revocation: { enabled: true },
    resourceIndicators: { enabled: true, getResourceServerInfo },
  },
});

const grants = new Grants(provider, { jose, errors, keys, issuer: process.env.ASSERTION_ISSUER || undefined, info: getResourceServerInfo });
const fault = new Fault();
provider.on('grant.error', (ctx, err) => fault.refused(err.error_detail || err.error_description));
provider.use(async (ctx, next) => {
  if (ctx.path !== '/control/grant') return next();
  const forUser = ctx.query.for === 'user';
  const id = ctx.query.client || required('CLIENT_ID');
  ctx.body = { refresh_token: await (forUser ? grants.userToken(id) : grants.refreshToken(id, resource, scope)) };
  return undefined;
});
provider.use((ctx, next) => fault.handle(ctx, next));
if (svids) provider.use((ctx, next) => svids.handle(ctx, next, fault));
if (tls) await mtls.listen(provider, tls);
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
    grant_types: grantTypes,
    redirect_uris: [],
    response_types: [],
    scope: `${scope} openid offline_access`,
    token_endpoint_auth_method: 'client_secret_basic',
  };
}

function clients() {
  const { client_secret: none, token_endpoint_auth_method: another, ...common } = client();
  const all = [client(), ...JSON.parse(process.env.CLIENTS || '[]').map((more) => ({ ...common, ...more }))];
  if (keys.length > 0) all.push(keyClient());
  if (svids) all.push(svids.client(common));
  return all;
}

function keyClient() {
  const { client_secret: none, ...rest } = client();
  return { ...rest, client_id: `${rest.client_id}-key`, token_endpoint_auth_method: 'private_key_jwt', jwks: { keys } };
}

function signingKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: 'test', use: 'sig', alg: 'RS256' };
}

function getResourceServerInfo(ctx, indicator) {
  if (indicator !== resource) throw new errors.InvalidTarget();
  return {
    audience: resource,
    scope: `${scope} offline_access`,
    accessTokenFormat: 'jwt',
    accessTokenTTL: ttl,
    jwt: { sign: { alg: 'RS256' } },
  };
}
