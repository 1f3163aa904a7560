// What surrounds a bundle in its process, and that AWS's runtime client finds in Lambda: the client's native half,
// the time, and names that resolve. The bundle itself is the one that is deployed.
"use strict";
const http = require("node:http");
const Module = require("node:module");

// The Runtime API, over HTTP as it is. AWS's own half is C++, which needs a compiler to install.
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
const call = (method, path, body, headers = {}) =>
  new Promise((resolve, reject) => {
    const request = http.request(
      {
        host,
        port,
        method,
        agent,
        path: `/2018-06-01/runtime${path}`,
        headers: { "content-type": "application/json", ...headers },
      },
      (response) => {
        const chunks = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("end", () =>
          resolve({ headers: response.headers, bodyJson: Buffer.concat(chunks).toString() }),
        );
      },
    );
    request.on("error", reject);
    request.end(body);
  });

let answered = Promise.resolve();
let offset = 0;
const realNow = Date.now;
// The account's clock, not this machine's: a world's time stands where its test has put it.
Date.now = () => realNow() + offset;

const typeOf = (body) => {
  try {
    return JSON.parse(body).errorType || "Error";
  } catch {
    return "Error";
  }
};
const native = {
  initializeClient() {},
  async next() {
    // The next event comes after the answer to the last one has arrived.
    await answered;
    const given = await call("GET", "/invocation/next");
    offset = Number(given.headers["stint-clock"]) - realNow();
    return given;
  },
  done(id, body) {
    answered = call("POST", `/invocation/${id}/response`, body);
  },
  error(id, body, cause) {
    answered = call("POST", `/invocation/${id}/error`, body, {
      "lambda-runtime-function-error-type": typeOf(body),
      ...(cause ? { "lambda-runtime-function-xray-error-cause": cause } : {}),
    });
  },
};
const load = Module._load;
Module._load = function (request, ...rest) {
  return request === "./rapid-client.node" ? native : load.call(this, request, ...rest);
};

// As a name server would: an issuer's own address leads to the one that stands for it.
const { STINT_TEST_ISSUERS } = process.env;
delete process.env.STINT_TEST_ISSUERS;
if (STINT_TEST_ISSUERS !== undefined) {
  const fetched = globalThis.fetch;
  globalThis.fetch = (url, options) =>
    fetched(`${STINT_TEST_ISSUERS}/?url=${encodeURIComponent(String(url))}`, options);
}
