// Preloaded with --require: makes every server of the process listen on
// 127.0.0.1 only, whatever address it asks for. The MCP example server has no
// option for its address and would listen on every interface.
'use strict';

const net = require('node:net');

const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function (first, ...rest) {
  if (first !== null && typeof first === 'object') {
    if (first.path !== undefined || first.fd !== undefined) {
      throw new Error('listen on TCP only');
    }
    return listen.call(this, { ...first, host: '127.0.0.1' }, ...rest);
  }
  const callback = rest.find((argument) => typeof argument === 'function');
  return listen.call(this, { port: Number(first), host: '127.0.0.1' }, callback);
};
