import { createClient } from "npm:@supabase/supabase-js@2.119.1";

// curl http://localhost:9000/supabase-js
// curl "http://localhost:9000/supabase-js?table=todos"
Deno.serve(async (req) => {
  // The fallbacks let the function answer without a Supabase project.
  const url = Deno.env.get("SUPABASE_URL") || "http://localhost:54321";
  const key = Deno.env.get("SUPABASE_ANON_KEY") || "anon";

  // One client a request, with the caller's token: row level security then
  // applies to the caller, not to the function.
  const authorization = req.headers.get("Authorization");
  const supabase = createClient(url, key, {
    auth: { persistSession: false, autoRefreshToken: false },
    global: { headers: authorization ? { Authorization: authorization } : {} },
  });

  // Without a table nothing leaves the machine: a public URL is only put
  // together from the client's address.
  const table = new URL(req.url).searchParams.get("table");
  if (!table) {
    const { data } = supabase.storage.from("avatars").getPublicUrl("ada.png");
    return Response.json({
      avatar: data.publicUrl,
      as: authorization ? "caller" : "anon",
    });
  }

  const { data, error } = await supabase.from(table).select("*").limit(10);
  if (error) {
    return Response.json({ error: error.message }, { status: 502 });
  }
  return Response.json({ table, rows: data });
});
