// What a plugin in JavaScript imports:
//
//     import { tool, Failure, log } from "penstock";
//
//     tool({
//         name: "greet",
//         description: "Greets someone.",
//         parameters: {
//             type: "object",
//             properties: { name: { type: "string", default: "world" } },
//             additionalProperties: false,
//         },
//         run({ name = "world" }) {
//             return { greeting: `Hello, ${name}!` };
//         },
//     });
//
// Code outside of functions runs once, when the plugin is built; each call starts from that state.

import * as host from "penstock:host";

const tools = new Map();

// Without WASI a clock is a trap, which says nothing.
function noClock() {
    throw new Error("There is no clock inside of a component");
}

const RealDate = Date;
RealDate.now = noClock;
globalThis.Date = new Proxy(RealDate, {
    apply: noClock,
    construct: (target, args, made) => (args.length ? Reflect.construct(target, args, made) : noClock()),
});
RealDate.prototype.constructor = globalThis.Date;
Object.defineProperty(globalThis, "performance", { value: { now: noClock } });

/** Declare a tool. `run` gets the params, which fit the schema, and returns what JSON can say. */
export function tool({ name, label = name, description = "", parameters, run }) {
    if (typeof name !== "string" || typeof run !== "function") {
        throw new TypeError("a tool needs a name and a function `run`");
    }
    if (tools.has(name)) {
        throw new TypeError(`the tool "${name}" is declared twice`);
    }
    const schema = parameters ?? { type: "object", additionalProperties: false };
    tools.set(name, { label, description, parametersJson: JSON.stringify(schema), run });
}

/**
 * What a tool throws to fail in its own words. Codes that callers act on: RATE_LIMIT (with `retryAfterS`),
 * DEPENDENCY_ERROR, NOT_FOUND, VALIDATION_ERROR; any other is EXECUTION_ERROR.
 */
export class Failure extends Error {
    constructor(message, { code = "EXECUTION_ERROR", details = undefined, retryAfterS = undefined } = {}) {
        super(message);
        Object.assign(this, { code, details, retryAfterS });
    }
}

/** Log lines, kept with the call's result. Capability `log`. */
export const log = {
    debug: (message) => write("debug", message),
    info: (message) => write("info", message),
    warn: (message) => write("warn", message),
    error: (message) => write("error", message),
};

/** A variable that the manifest allows and the operator set, or null. Capability `env`. */
export function env(name) {
    return asked(host.envGet, "env")(name);
}

/** Capability `http`: {status, headers: [[name, value]], body}, or a Failure with DEPENDENCY_ERROR. */
export function httpGet(url, headers = {}) {
    return transported(() => asked(host.httpGet, "http")(url, Object.entries(headers)));
}

/** Capability `http`, as httpGet. */
export function httpPost(url, body, headers = {}) {
    return transported(() => asked(host.httpPost, "http")(url, Object.entries(headers), body));
}

function write(level, message) {
    const text = typeof message === "string" ? message : (JSON.stringify(message) ?? String(message));
    asked(host.log, "log")(level, text.toWellFormed());
}

function asked(call, capability) {
    if (call === null) {
        throw new Failure(`Ask for the capability "${capability}" in plugin.toml and build again`);
    }
    return call;
}

function transported(exchange) {
    try {
        return exchange();
    } catch (error) {
        if (error instanceof Failure) {
            throw error;
        }
        throw new Failure(textOf(error?.payload ?? error), { code: "DEPENDENCY_ERROR" });
    }
}

/** The interface `grain:plugin/plugin`, which the build exports. */
export function pluginOf(name, version) {
    return {
        init: () => ({ name, version }),
        listTools: () =>
            [...tools].map(([name, { label, description, parametersJson }]) => ({
                name, label, description, parametersJson,
            })),
        callTool(name, argsJson) {
            try {
                const found = tools.get(name);
                if (found === undefined) {
                    throw new Failure(`Unknown tool: ${name}`, { code: "NOT_FOUND" });
                }
                const value = found.run(JSON.parse(argsJson));
                if (typeof value?.then === "function") {
                    throw new Failure(`${name} returns a promise: nothing waits for it here`);
                }
                return { contentJson: jsonOf(value), isError: false };
            } catch (error) {
                return { contentJson: failureJson(error), isError: true };
            }
        },
    };
}

/** The interface `penstock:batch/batch`: calls that share this instance. */
export function batchOf({ callTool }) {
    return { callToolBatch: (name, argsJson) => argsJson.map((args) => callTool(name, args)) };
}

// Half characters are replaced: there is no UTF-8 of them. JSON escapes these surrogates, and no others.
function jsonOf(value) {
    const text = JSON.stringify(value) ?? "null";
    return text.includes("\\ud")
        ? text.replace(/\\(?:ud[89a-f][0-9a-f]{2}|[^])/g, (escape) => (escape.length > 2 ? "\ufffd" : escape))
        : text;
}

// Its message arrives, whatever its details are.
function failureJson(error) {
    try {
        return jsonOf(failureOf(error));
    } catch (unsayable) {
        const { code, message } = error instanceof Failure ? error : { message: typeof error };
        return jsonOf({ code, message: String(message), details: `no JSON: ${unsayable.message}` });
    }
}

function failureOf(error) {
    if (error instanceof Failure) {
        const { message, code, details, retryAfterS } = error;
        return { code, message, details, retry_after_s: retryAfterS };
    }
    const message = error instanceof Error ? `${error.name}: ${error.message}` : textOf(error);
    return { message, details: error?.stack ? { stack: String(error.stack) } : undefined };
}

function textOf(error) {
    return error instanceof Error ? error.message : String(error);
}
