// Checks a JSON body by hand and answers 400 with every problem it found, so
// that a caller can mend them all at once.

interface Order {
  item: string;
  quantity: number;
}

function check(body: unknown): { order?: Order; problems: string[] } {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    return { problems: ["the body must be a JSON object"] };
  }
  const { item, quantity } = body as Partial<Order>;
  const problems: string[] = [];
  if (typeof item !== "string" || item === "") {
    problems.push("item must be a non-empty string");
  }
  if (!Number.isInteger(quantity) || quantity! < 1) {
    problems.push("quantity must be a positive integer");
  }
  return problems.length > 0
    ? { problems }
    : { order: { item: item!, quantity: quantity! }, problems };
}

Deno.serve(async (req) => {
  if (req.method !== "POST") {
    return Response.json({ error: "use POST" }, {
      status: 405,
      headers: { Allow: "POST" },
    });
  }

  let body: unknown;
  try {
    body = await req.json();
  } catch {
    return Response.json({ error: "the body is not JSON" }, { status: 400 });
  }

  const { order, problems } = check(body);
  if (!order) {
    return Response.json({ error: "invalid order", problems }, { status: 400 });
  }
  return Response.json({ ordered: order.item, quantity: order.quantity }, {
    status: 201,
  });
});
