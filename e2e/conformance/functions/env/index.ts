// Shows its variables.
Deno.serve(() => Response.json(Deno.env.toObject()));
