// @ts-types="npm:@types/express@5.0.6"
import express from "npm:express@5.3.0";

const app = express();
app.use(express.json());

// The first part of the path is the function's name.
app.get("/express", (_req, res) => {
  res.send("Hello from Express!");
});

app.get("/express/users/:id", (req, res) => {
  res.json({ id: req.params.id });
});

app.post("/express/echo", (req, res) => {
  res.json({ received: req.body });
});

// Whatever the port, the function is reached through its own URL.
app.listen(3000);
