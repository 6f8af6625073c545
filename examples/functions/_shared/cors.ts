// Folders that begin with "_" are never functions; this one holds what several
// functions import.

/** Lets browsers on any origin call a function through supabase-js. */
export const corsHeaders = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
  "Access-Control-Allow-Headers":
    "authorization, x-client-info, apikey, content-type",
};
