// Fault is the switch that makes the token endpoint fail, and its control
// endpoint. A stalled request goes on when the fault is healed.
export class Fault {
  #status = 0;
  #requests = 0;
  #refusal = '';
  #healed = null;
  #heal = () => {};

  // handle is koa middleware: it answers the control endpoint itself, and lets
  // a token request pass only after the present fault.
  async handle(ctx, next) {
    if (ctx.path.startsWith('/control/')) return this.#control(ctx);
    if (ctx.path !== '/token') return next();
    this.#requests += 1;
    await this.#healed;
    if (this.#status === 0) return next();
    ctx.status = this.#status;
    ctx.body = { error: 'server_error' };
  }

  // refused keeps why the last request was, which clients are not told.
  refused(why) { this.#refusal = why; }

  #control(ctx) {
    const action = `${ctx.method} ${ctx.path.slice('/control/'.length)}`;
    switch (action) {
      case 'POST fail':
        this.#clear();
        this.#status = Number(ctx.query.status || 500);
        break;
      case 'POST stall':
        this.#clear();
        this.#healed = new Promise((resolve) => { this.#heal = resolve; });
        break;
      case 'POST heal':
        this.#clear();
        break;
      case 'GET requests':
        break;
      default:
        ctx.throw(404, `unknown control ${action}`);
    }
    ctx.body = { requests: this.#requests, refusal: this.#refusal };
  }

  #clear() {
    this.#status = 0;
    this.#heal();
    this.#healed = null;
  }
}
