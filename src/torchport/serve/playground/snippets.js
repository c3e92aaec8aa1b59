"use strict";
// Programs that ask this server the same, to copy.

const LANGUAGES = ["curl", "Python", "JavaScript", "Java", "Go"];

function snippet(name, model, takes, type, address) {
  const path = `/v2/models/${encodeURIComponent(model)}/predict`;
  const url = address + path;
  const file = { picture: "photo.jpg", sound: "speech.wav", video: "film.mp4", text: "text.txt", tensor: "x.json" }[takes];
  return {
    curl: `curl -H 'Content-Type: ${type}' --data-binary @${file} '${url}'`,
    Python: `import json, urllib.request

with open("${file}", "rb") as file:
    request = urllib.request.Request("${url}", file.read(), {"Content-Type": "${type}"})
with urllib.request.urlopen(request) as answer:
    print(json.load(answer))`,
    JavaScript: `import { readFile } from "node:fs/promises";

const body = await readFile("${file}");
const answer = await fetch("${url}", { method: "POST", headers: { "Content-Type": "${type}" }, body });
console.log(await answer.json());`,
    Java: `import java.net.URI;
import java.net.http.*;
import java.nio.file.Path;

public class Ask {
    public static void main(String[] words) throws Exception {
        var request = HttpRequest.newBuilder(URI.create("${url}"))
            .header("Content-Type", "${type}")
            .POST(HttpRequest.BodyPublishers.ofFile(Path.of("${file}"))).build();
        System.out.println(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
}`,
    Go: `package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	file, err := os.Open("${file}")
	if err != nil {
		panic(err)
	}
	answer, err := http.Post("${url}", "${type}", file)
	if err != nil {
		panic(err)
	}
	io.Copy(os.Stdout, answer.Body)
}`,
  }[name];
}
