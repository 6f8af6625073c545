// Types for the runtime's own globals; nothing of it runs.
import "jsr:@supabase/functions-js/edge-runtime.d.ts";

console.log("Hello from Functions!");

// curl http://localhost:9000/hello-world -d '{"name":"Functions"}'
Deno.serve(async (req) => {
  const { name } = await req.json();
  const data = {
    message: `Hello ${name}!`,
  };

  return new Response(
    JSON.stringify(data),
    { headers: { "Content-Type": "application/json" } },
  );
});
