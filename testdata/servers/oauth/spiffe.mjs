// What oidc-provider does not know yet: a client that shows a JWT-SVID
// (draft-ietf-oauth-spiffe-client-auth, "Client Authentication using JWT-SVID").
// The rules of that section are checked here, by the trust bundle. To the library,
// which has no hook for another assertion type, a client that is proven shows a
// secret that never leaves this process.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';

const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe';

export class SVIDs {
  #jose;
  #bundle;
  #issuer;
  #id;
  #secret = randomBytes(32).toString('hex');

  // bundle is the path of the trust bundle in SPIFFE's JSON format, and id the one
  // client's SPIFFE ID.
  constructor({ jose, bundle, issuer, id }) {
    this.#jose = jose;
    this.#bundle = bundle;
    this.#issuer = issuer;
    this.#id = id;
  }

  // client returns metadata like rest of the client, whose name is its SPIFFE ID.
  client(rest) {
    return { ...rest, client_id: this.#id, client_secret: this.#secret, token_endpoint_auth_method: 'client_secret_post' };
  }

  // handle is koa middleware. It reads a form and hands it on, as a body that was
  // read already.
  async handle(ctx, next, fault) {
    if (ctx.method !== 'POST' || !ctx.is('urlencoded')) return next();
    const chunks = await ctx.req.toArray();
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    if (form.get('client_assertion_type') === assertionType) {
      try {
        await this.#prove(form);
      } catch (err) {
        fault.refused(err.message);
        ctx.status = 401;
        ctx.body = { error: 'invalid_client', error_description: 'client authentication failed' };
        return undefined;
      }
      form.delete('client_assertion_type');
      form.delete('client_assertion');
      form.set('client_id', this.#id);
      form.set('client_secret', this.#secret);
    }
    ctx.req.body = form.toString();
    return next();
  }

  async #prove(form) {
    const { payload } = await this.#jose.jwtVerify(form.get('client_assertion') ?? '', this.#keys(), {
      audience: this.#issuer, requiredClaims: ['sub', 'aud', 'exp'],
    });
    if ([payload.aud].flat().length !== 1) throw new Error('the issuer is not the only audience');
    if (payload.sub !== this.#id || (form.get('client_id') ?? this.#id) !== this.#id) throw new Error('sub is no client, or another than client_id');
  }

  // keys reads the bundle anew, so that a key that SPIRE made since is known.
  #keys() {
    const { keys } = JSON.parse(readFileSync(this.#bundle, 'utf8'));
    const own = keys.filter(({ use }) => use === 'jwt-svid').map(({ use, ...key }) => key); // not a use that JOSE knows
    return this.#jose.createLocalJWKSet({ keys: own });
  }
}
