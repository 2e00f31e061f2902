#!/usr/bin/env node
import { Command } from "commander";

const program = new Command("curvsam").description("Train exported ONNX models on stock ONNX Runtime.");
await program.parseAsync();
