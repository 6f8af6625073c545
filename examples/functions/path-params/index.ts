// A function sees its own name as the first part of the path, so every pattern
// begins with it.
const user = new URLPattern({ pathname: "/path-params/users/:id" });
const users = new URLPattern({ pathname: "/path-params/users" });

const names: Record<string, string> = { "1": "Ada", "2": "Grace" };

Deno.serve((req) => {
  const match = user.exec(req.url);
  if (match) {
    const id = match.pathname.groups.id!;
    const name = names[id];
    return name
      ? Response.json({ id, name })
      : Response.json({ error: `no user ${id}` }, { status: 404 });
  }

  if (users.test(req.url)) {
    return Response.json({ ids: Object.keys(names) });
  }

  return Response.json({ error: "no such route" }, { status: 404 });
});
