// What oidc-provider leaves to its users: grants that show an assertion, by RFC
// 8693 and RFC 7523, and a refresh token without a browser.
export class Grants {
  #provider;
  #jose;
  #errors;
  #keys;
  #issuer;
  #info;

  // keys are the public keys of who is trusted to make assertions, and issuer is what
  // they have to say of who that is, if it is given; info says what a resource
  // indicator means.
  constructor(provider, { jose, errors, keys, issuer, info }) {
    this.#provider = provider;
    this.#jose = jose;
    this.#errors = errors;
    this.#keys = jose.createLocalJWKSet({ keys });
    this.#issuer = issuer;
    this.#info = info;
    const common = ['scope', 'resource', 'audience', 'requested_token_type'];
    provider.registerGrantType(tokenExchange, (ctx) => this.#exchange(ctx), [
      'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type', ...common,
    ]);
    provider.registerGrantType(jwtBearer, (ctx) => this.#bearer(ctx), ['assertion', ...common]);
  }

  async #exchange(ctx) {
    const { params } = ctx.oidc;
    if (params.subject_token_type !== jwtType) throw new this.#errors.InvalidRequest('subject_token_type');
    const { sub } = await this.#proven(params.subject_token);
    const claims = { sub };
    if (params.actor_token) claims.act = { sub: (await this.#proven(params.actor_token)).sub };
    await this.#issue(ctx, claims, { issued_token_type: 'urn:ietf:params:oauth:token-type:access_token' });
  }

  async #bearer(ctx) {
    const { sub } = await this.#proven(ctx.oidc.params.assertion);
    await this.#issue(ctx, { sub }, {});
  }

  // proven takes an assertion once, as RFC 7523, section 3, has it.
  async #proven(assertion) {
    try {
      const { payload } = await this.#jose.jwtVerify(assertion, this.#keys, {
        audience: this.#provider.issuer, issuer: this.#issuer, requiredClaims: ['sub', 'exp'],
      });
      const { iss, sub, jti, exp } = payload; // a JWT-SVID may have neither iss nor jti
      if (jti && !await this.#provider.ReplayDetection.unique(iss ?? sub, jti, exp)) throw new Error('seen before');
      return payload;
    } catch (err) {
      throw new this.#errors.InvalidGrant(`assertion: ${err.message}`);
    }
  }

  async #issue(ctx, claims, more) {
    const { client, params } = ctx.oidc;
    const token = new this.#provider.ClientCredentials({ client, scope: params.scope });
    if (params.resource) {
      token.resourceServer = new this.#provider.ResourceServer(params.resource, await this.#info(ctx, params.resource));
    }
    ctx.state.claims = claims;
    ctx.body = {
      access_token: await token.save(), expires_in: token.expiration, token_type: token.tokenType, scope: params.scope, ...more,
    };
  }

  // refreshToken makes one, as if a user had agreed.
  async refreshToken(clientId, resource, scope) {
    const grant = new this.#provider.Grant({ clientId, accountId: 'alice' });
    grant.addResourceScope(resource, scope);
    const token = new this.#provider.RefreshToken({
      client: await this.#provider.Client.find(clientId),
      accountId: 'alice', grantId: await grant.save(), gty: 'authorization_code', scope, resource,
    });
    return token.save();
  }

  // userToken makes a refresh token for the user's own data.
  async userToken(clientId) {
    const grant = new this.#provider.Grant({ clientId, accountId: 'alice' });
    grant.addOIDCScope('openid');
    const token = new this.#provider.RefreshToken({
      client: await this.#provider.Client.find(clientId),
      accountId: 'alice', grantId: await grant.save(), gty: 'authorization_code', scope: 'openid',
    });
    return token.save();
  }
}

const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange';
const jwtBearer = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const jwtType = 'urn:ietf:params:oauth:token-type:jwt';

export const grantTypes = ['client_credentials', 'refresh_token', tokenExchange, jwtBearer];
