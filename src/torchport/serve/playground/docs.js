"use strict";
// The OpenAPI document as a page.

function part(name, words, kind) {
  const made = document.createElement(name);
  if (words !== undefined) made.textContent = words;
  if (kind) made.className = kind;
  return made;
}

fetch("openapi.json").then((reply) => reply.json()).then((document_) => {
  for (const [path, methods] of Object.entries(document_.paths)) {
    const section = part("section");
    section.append(part("h2", path));
    for (const [method, about] of Object.entries(methods)) {
      if (method === "parameters") continue;
      section.append(part("p", `${method.toUpperCase()}: ${about.summary}`));
      for (const [status, answer] of Object.entries(about.responses)) section.append(part("div", `${status} ${answer.description}`, "quiet"));
    }
    document.getElementById("paths").append(section);
  }
});
