// Does not answer in time; config.toml gives it one second.
Deno.serve(() => new Promise<Response>(() => {}));
